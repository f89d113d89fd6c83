"""A deployed stack, what is done to it, what keeps it going, and who looks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from local import deploy
from local.cloud import LaptopCloud
from local.stack import Stack
from tests import datasets
from tests.faults.datasets import DATASETS, READINGS, Dataset
from tests.faults.invariants import World
from tests.faults.observed import Observer
from tests.faults.operation import Operation
from tests.operating import LOADS_HELD_UP, empty_bucket

STACK_NAME = "faults"


@dataclass(frozen=True)
class Laboratory:
    """A stack of its own: what is done to it here, and what comes of it, is nobody else's."""

    stack: Stack
    world: World
    observer: Observer
    operation: Operation

    @classmethod
    def deploy(cls, cloud: LaptopCloud, build_folder: Path) -> "Laboratory":
        stack = deploy.deploy(cloud, STACK_NAME, build_folder, {"BatchWindowSeconds": "0"})
        datasets.install(stack, READINGS.name)
        return cls.of(stack, DATASETS)

    @classmethod
    def of(cls, stack: Stack, known: Mapping[str, Dataset]) -> "Laboratory":
        """A deployed stack that has these datasets."""
        observer = Observer(stack, known)
        return cls(stack, World(stack, known), observer, Operation(stack, observer))

    def reset(self) -> None:
        """Empty the quiet stack, and forget what was done to it."""
        with self._connect() as connection:
            for table in ("etl.loads", "etl.loaded_files", "etl.rejected_rows"):
                connection.execute(f"delete from {table}".encode())
            for name in self.world.datasets:
                connection.execute(f"delete from {DATASETS[name].aggregates}".encode())
        for bucket in ("RawBucketName", "ArchiveBucketName"):
            empty_bucket(self.stack, bucket)
        self.world.forget()
        self.observer.forget()
        self.operation.reruns.clear()

    @contextmanager
    def lock_held(self, table: str) -> Iterator[None]:
        """Let loads wait for a table. The warehouse may be killed meanwhile."""
        connection = self._connect()
        try:
            connection.execute(f"lock table {table}".encode())
            yield
        finally:
            connection.close()

    def loads_held_up(self) -> int:
        """How many CALLs wait for a lock."""
        return int(self.query(LOADS_HELD_UP)[0][0])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connect() as connection:
            return connection.execute(sql.encode()).fetchall()

    def revert_file(self, file_id: str) -> None:
        """Take a file back in the warehouse, as an administrator does."""
        self.world.reverted.add(file_id)
        with self._connect() as connection:
            connection.execute("call etl.revert_file(%s, 0, 0)", (file_id,))

    def _connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        return self.stack.warehouse.connect(*self.stack.credentials("AdminSecretArn"))

    def violations(self) -> list[str]:
        return self.world.violations(self.observer.look())
