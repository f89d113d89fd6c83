"""Loads without the pipeline around them: staged files, a partition, and the CALL.

What the state machine does before and for its CALL is done here by hand, on the deployed stack's
bucket, catalog and warehouse; the procedures are those that were deployed.
"""

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from hashlib import sha256
from itertools import count
from typing import Any, NamedTuple

import psycopg
from start_loads.core import MAX_CONTENT_LENGTH, Load, UploadedFile, plan_loads

from local import spectrum
from local.stack import Stack
from tests.faults.datasets import Dataset, Grain, Measures, added_up
from tests.operating import empty_bucket

Connection = psycopg.Connection[tuple[Any, ...]]

WAIT_SECONDS = 20.0
# No two tests share a partition, also where they make the same load.
ATTEMPTS = count(2)
UPLOADED_AT = "2013-11-24T10:00:00.000Z"
AGGREGATES = {
    "flights": "mart.daily_route_performance_by_file",
    "readings": "mart.daily_readings_by_file",
}


class Answer(NamedTuple):
    """What a load procedure answers."""

    status: str
    files_loaded: int
    files_skipped: int
    source_rows: int
    rejected_rows: int
    aggregate_rows: int
    empty_file_ids: str
    dates_covered: str
    reject_reasons: str
    rejected_files: str
    same_files: str


@dataclass(frozen=True)
class Version:
    """One version of an object, and what its file holds."""

    file: UploadedFile
    body: bytes

    @property
    def file_id(self) -> str:
        return self.file.file_id

    def entry(self) -> dict[str, Any]:
        """What the procedure is told of it."""
        content = b64encode(sha256(self.body).digest()).decode()[:MAX_CONTENT_LENGTH]
        return {**self.file.manifest_entry(), "content": content}


@dataclass
class Loading:
    """Loads one dataset, and looks at what came of it. Loads run in sessions of the loader."""

    stack: Stack
    dataset: Dataset
    run_ids: list[str] = field(default_factory=list)

    @property
    def lock_table(self) -> str:
        return f"etl.{self.dataset.name}_lock"

    def version(
        self,
        number: int,
        name: str = "a.csv",
        uploaded_at: str = UPLOADED_AT,
        sequencer: str = "",
        body: bytes | None = None,
    ) -> Version:
        """The version of this number; each number's file holds other rows."""
        content = self.dataset.file(number) if body is None else body
        file = UploadedFile(
            bucket=self.stack.outputs["RawBucketName"],
            key=f"raw/{self.dataset.name}/{name}",
            version_id=f"version {number}",
            etag="",
            sequencer=sequencer,
            size=len(content),
            uploaded_at=uploaded_at,
        )
        return Version(file, content)

    def load(self, *versions: Version) -> Answer:
        """One attempt at the load of these versions, in a session of its own."""
        with self.session() as connection:
            return self.load_in(connection, *versions)

    def load_in(self, connection: Connection, *versions: Version) -> Answer:
        load = load_of(*versions)
        of_file = {version.file_id: version.entry() for version in versions}
        entries = [of_file[file.file_id] for file in load.files]
        return self.call_in(connection, self.staged(load, versions), load.load_id, entries)

    def staged(self, load: Load, versions: Iterable[Version]) -> str:
        """The run_id of a further attempt at the load, whose files and partition are there."""
        run_id = f"{load.load_id}-{next(ATTEMPTS)}"
        self.run_ids.append(run_id)
        bucket = self.stack.outputs["RawBucketName"]
        folder = self._folder(run_id)
        for version in versions:
            self.stack.s3.put_object(
                Bucket=bucket, Key=folder + version.file.staged_name, Body=version.body
            )
        self._create_partition(run_id, f"s3://{bucket}/{folder}")
        return run_id

    def call(self, run_id: str, load_id: str, entries: list[dict[str, Any]]) -> Answer:
        """What the procedure answers to this manifest."""
        with self.session() as connection:
            return self.call_in(connection, run_id, load_id, entries)

    def call_in(
        self, connection: Connection, run_id: str, load_id: str, entries: list[dict[str, Any]]
    ) -> Answer:
        spectrum.refresh(self.stack.warehouse)
        row = connection.execute(
            f"call etl.load_{self.dataset.name}"
            "(%s, %s, %s, %s, '', 0, 0, 0, 0, 0, '', '', '', '', '')".encode(),
            (run_id, load_id, json.dumps(entries), self.dataset.same_key),
        ).fetchone()
        assert row is not None
        return Answer(*row)

    @contextmanager
    def session(self, secret: str = "LoaderSecretArn") -> Iterator[Connection]:
        """A session in which each statement is a transaction, as the Data API's are."""
        with self.stack.warehouse.connect(*self.stack.credentials(secret)) as connection:
            connection.autocommit = True
            yield connection

    def revert_file(self, version: Version) -> tuple[int, int]:
        return self._revert("call etl.revert_file(%s, 0, 0)", version.file_id)

    def revert_load(self, *versions: Version) -> tuple[int, int]:
        return self._revert("call etl.revert_load(%s, 0, 0)", load_of(*versions).load_id)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask as the administrator."""
        with self.session("AdminSecretArn") as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def view(self) -> dict[Grain, Measures]:
        """What analysts read."""
        return self.dataset.queried(self.query(self.dataset.view))

    def amount_to(self, *versions: Version) -> dict[Grain, Measures]:
        """What the view must show where these versions count, computed without the warehouse."""
        return added_up(
            part
            for version in versions
            for part in self.dataset.contents(version.body).measures.items()
        )

    def dates_of(self, *versions: Version) -> str:
        """What dates the rows of these versions are of, as a load says it."""
        grains = [grain for v in versions for grain in self.dataset.contents(v.body).measures]
        dates = sorted({part for grain in grains for part in grain if isinstance(part, date)})
        return " to ".join(str(day) for day in dict.fromkeys((dates[0], dates[-1])))

    def statuses(self) -> dict[str, str]:
        """The status of each file of the dataset in the ledger."""
        rows = self.query(
            "select file_id, status from etl.loaded_files where dataset = %s", self.dataset.name
        )
        assert len(dict(rows)) == len(rows), "a file is in the ledger twice"
        return dict(rows)

    def empty(self) -> None:
        """Take the dataset's rows, the partitions and what is in them away."""
        while self.run_ids:
            run_id = self.run_ids.pop()
            self._glue.delete_partition(
                DatabaseName=self.stack.outputs["GlueDatabaseName"],
                TableName=self.dataset.name,
                PartitionValues=[run_id],
            )
            empty_bucket(self.stack, "RawBucketName", self._folder(run_id))
        with self.session("AdminSecretArn") as connection:
            tables = connection.execute(
                "select table_name from etl.dataset_tables where dataset = %s",
                (self.dataset.name,),
            ).fetchall()
            for (table,) in tables:
                connection.execute(f"delete from mart.{table}".encode())
            connection.execute(
                "delete from etl.rejected_rows where file_id in"
                " (select file_id from etl.loaded_files where dataset = %s)",
                (self.dataset.name,),
            )
            for table in ("loads", "loaded_files"):
                connection.execute(
                    f"delete from etl.{table} where dataset = %s".encode(), (self.dataset.name,)
                )

    def _folder(self, run_id: str) -> str:
        return f"staging/{self.dataset.name}/run_id={run_id}/"

    def _revert(self, call: str, name: str) -> tuple[int, int]:
        [(files, rows)] = self.query(call, name)
        return files, rows

    def _create_partition(self, run_id: str, location: str) -> None:
        self._glue.create_partition(
            DatabaseName=self.stack.outputs["GlueDatabaseName"],
            TableName=self.dataset.name,
            PartitionInput={
                "Values": [run_id],
                "StorageDescriptor": {**self._storage, "Location": location},
            },
        )

    @cached_property
    def _glue(self) -> Any:
        return self.stack.cloud.client("glue")

    @cached_property
    def _storage(self) -> dict[str, Any]:
        table = self._glue.get_table(
            DatabaseName=self.stack.outputs["GlueDatabaseName"], Name=self.dataset.name
        )
        storage: dict[str, Any] = table["Table"]["StorageDescriptor"]
        return storage


def load_of(*versions: Version) -> Load:
    """The one load that these versions make up."""
    [load] = plan_loads(version.file for version in versions)
    return load


@contextmanager
def held(loading: Loading) -> Iterator[None]:
    """Nobody else gets the dataset's lock meanwhile."""
    with loading.session("AdminSecretArn") as holder, holder.transaction():
        holder.execute(f"lock table {loading.lock_table}".encode())
        yield


def waiting_for(loading: Loading) -> int:
    """How many sessions wait for the dataset's lock."""
    [(count,)] = loading.query(
        "select count(*) from pg_locks where not granted and relation = %s::regclass",
        loading.lock_table,
    )
    return int(count)


def at_once(*calls: Callable[[], Any], while_held: Loading) -> list[Any]:
    """What the calls answer, all of which have begun before the dataset's lock is let go."""
    with ThreadPoolExecutor(len(calls)) as executor:
        with held(while_held):
            futures = [executor.submit(call) for call in calls]
            wait_until(
                lambda: waiting_for(while_held) == len(calls),
                unless=lambda: any(future.done() for future in futures),
            )
        return [future.result(WAIT_SECONDS) for future in futures]


def wait_until(condition: Callable[[], bool], unless: Callable[[], bool] = lambda: False) -> None:
    """Return once the condition is true, or there is no more hope; fail where it takes long."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition() and not unless():
        assert time.monotonic() < deadline, "it did not come true"
        threading.Event().wait(0.01)
