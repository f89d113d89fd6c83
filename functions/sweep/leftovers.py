"""What ended runs have left: partitions of the datasets' tables, and staged files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from aws_lambda_powertools import Logger
from start_loads.shown import shown

from sweep import core
from sweep.executions import Execution, Executions

logger = Logger(child=True)


@dataclass
class Leftovers:
    """Partitions and staged files of runs that have ended before the limit.

    `is_late` says when there is no time left; the next sweep goes on.
    """

    s3: Any
    glue: Any
    executions: Executions
    bucket: str
    database: str
    limits: core.Limits
    is_late: Callable[[], bool]
    partitions_dropped: int = 0
    objects_dropped: int = 0
    _runs: dict[str, Execution | None] = field(default_factory=dict)

    def drop(self) -> None:
        """Drop partitions first: a partition without its files would read as no rows."""
        for table, partition in self._partitions():
            if self._is_leftover(partition["Values"][0], partition["CreationTime"]):
                self._drop_partition(table, partition["Values"])
        for page in self._staged_pages():
            self._drop_staged(page)

    def _tables(self) -> Iterator[str]:
        """The datasets. The partitions of another table are not runs."""
        pages = self.glue.get_paginator("get_tables").paginate(DatabaseName=self.database)
        for table in (table for page in pages for table in page["TableList"]):
            if [key["Name"] for key in table.get("PartitionKeys", ())] == ["run_id"]:
                yield table["Name"]

    def _partitions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name in self._tables():
            pages = self.glue.get_paginator("get_partitions").paginate(
                DatabaseName=self.database, TableName=name, ExcludeColumnSchema=True
            )
            # Read to the end before anything is dropped: a page's token is a place in the list.
            partitions = [partition for page in pages for partition in page["Partitions"]]
            for partition in partitions:
                if self.is_late():
                    return
                yield name, partition

    def _drop_partition(self, table: str, values: list[str]) -> None:
        try:
            self.glue.delete_partition(
                DatabaseName=self.database, TableName=table, PartitionValues=values
            )
        except self.glue.exceptions.EntityNotFoundException:
            # Another sweep was faster: they may overlap.
            return
        self.partitions_dropped += 1

    def _staged_pages(self) -> Iterator[list[dict[str, Any]]]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=core.STAGING_PREFIX
        )
        for page in pages:
            if self.is_late():
                return
            yield page.get("Contents", [])

    def _drop_staged(self, objects: list[dict[str, Any]]) -> None:
        """Drop a page's objects, at most 1,000, in one call; their keys come sorted by run."""
        keys = []
        for run_id, group in groupby(objects, key=lambda item: core.run_id_of(item["Key"])):
            staged = list(group)
            newest = max(item["LastModified"] for item in staged)
            if run_id is not None and self._is_leftover(run_id, newest):
                keys += [item["Key"] for item in staged]
        if keys:
            self._drop_objects(keys)

    def _drop_objects(self, keys: list[str]) -> None:
        # The lifecycle rule of staging/ ends the noncurrent versions that this leaves.
        answer = self.s3.delete_objects(
            Bucket=self.bucket,
            Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
        )
        errors = answer.get("Errors", [])
        for error in errors:
            logger.error("object not dropped", key=shown(error["Key"]), reason=error["Code"])
        self.objects_dropped += len(keys) - len(errors)

    def _is_leftover(self, run_id: str, made_at: datetime) -> bool:
        return core.is_leftover(self._run(run_id), made_at, self.limits)

    def _run(self, run_id: str) -> Execution | None:
        if run_id not in self._runs:
            execution = self.executions.describe_run(run_id)
            self._runs[run_id] = execution and {
                name: execution.get(name) for name in ("status", "stopDate")
            }
        return self._runs[run_id]
