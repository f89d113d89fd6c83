"""What ended runs have left: partitions of the datasets' tables, and staged files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from sweep import core


@dataclass
class Leftovers:
    """Partitions and staged files of runs that have ended before the limit.

    `is_late` says when there is no time left; the next sweep goes on.
    """

    s3: Any
    glue: Any
    states: Any
    bucket: str
    machine_arn: str
    database: str
    limits: core.Limits
    is_late: Callable[[], bool]
    partitions_dropped: int = 0
    objects_dropped: int = 0
    _executions: dict[str, dict[str, Any] | None] = field(default_factory=dict)

    def drop(self) -> None:
        """Drop partitions first: a partition without its files would read as no rows."""
        for table, partition in self._partitions():
            if self._is_leftover(partition["Values"][0], partition["CreationTime"]):
                self.glue.delete_partition(
                    DatabaseName=self.database,
                    TableName=table,
                    PartitionValues=partition["Values"],
                )
                self.partitions_dropped += 1
        for page in self._staged_pages():
            self._drop_staged(page)

    def _partitions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        tables = self.glue.get_paginator("get_tables").paginate(DatabaseName=self.database)
        for name in [table["Name"] for page in tables for table in page["TableList"]]:
            pages = self.glue.get_paginator("get_partitions").paginate(
                DatabaseName=self.database, TableName=name, ExcludeColumnSchema=True
            )
            # Read to the end before anything is dropped: a page's token is a place in the list.
            partitions = [partition for page in pages for partition in page["Partitions"]]
            for partition in partitions:
                if self.is_late():
                    return
                yield name, partition

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
            # The lifecycle rule of staging/ ends the noncurrent versions that this leaves.
            self.s3.delete_objects(
                Bucket=self.bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )
            self.objects_dropped += len(keys)

    def _is_leftover(self, run_id: str, made_at: datetime) -> bool:
        return core.is_leftover(self._execution(run_id), made_at, self.limits)

    def _execution(self, run_id: str) -> dict[str, Any] | None:
        if run_id not in self._executions:
            self._executions[run_id] = self._describe(run_id)
        return self._executions[run_id]

    def _describe(self, run_id: str) -> dict[str, Any] | None:
        arn = f"{self.machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"
        try:
            execution = self.states.describe_execution(executionArn=arn)
        except self.states.exceptions.ExecutionDoesNotExist:
            return None
        return {name: execution.get(name) for name in ("status", "stopDate")}
