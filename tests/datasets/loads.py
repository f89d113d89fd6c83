"""Files of any dataset, loaded into the shared warehouse without the pipeline around them."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from local.stack import Stack
from tests.faults.datasets import Dataset, Grain, Measures, Row
from tests.sql.loading import Answer, Loading
from tools.datasets.reading import Folder

# Each version of a key is younger than the one before it.
UPLOADED_AT = "2013-11-24T10:{minute:02}:{second:02}.000Z"


class Refused(str):
    """Why no row of a file may count."""


@dataclass
class Loads:
    """Loads files of a dataset in their order, each by itself."""

    stack: Stack
    folder: Folder

    def __post_init__(self) -> None:
        self.loading = Loading(self.stack, _known_by_name(self.folder))
        self.names: dict[str, str] = {}

    def load(self, name: str, body: bytes) -> Answer | Refused:
        """What a load of this file gives; `name` may lie in a folder, and its end is the key's."""
        number = len(self.names) + 1
        version = self.loading.version(
            number,
            name=name.rpartition("/")[2],
            uploaded_at=UPLOADED_AT.format(minute=number // 60, second=number % 60),
            body=body,
        )
        self.names[version.file_id] = name
        try:
            return self.loading.load(version)
        except psycopg.Error as error:
            return Refused(str(error.diag.message_primary))

    def load_all(self, files: Mapping[str, bytes]) -> dict[str, Answer | Refused]:
        return {name: self.load(name, body) for name, body in files.items()}

    def rejected(self) -> list[tuple[str, str, str, str]]:
        """(file, line, reason, value) of each rejected row."""
        rows = self.loading.query(
            "select file_id, line, reason, coalesce(value, '') from etl.rejected_rows"
            " where file_id in (select file_id from etl.loaded_files where dataset = %s)",
            self.folder.name,
        )
        return [(self.names[file_id], *rest) for file_id, *rest in rows]

    def views(self) -> list[str]:
        """The views over the tables that the dataset has registered."""
        rows = self.loading.query(
            "select table_name from etl.dataset_tables where dataset = %s", self.folder.name
        )
        return [table.removesuffix("_by_file") for (table,) in rows]

    def view(self, name: str, columns: str = "*") -> list[tuple[object, ...]]:
        """What analysts read, in an order that is the same each time."""
        rows = self.loading.query(f"select {columns} from mart.{name}")
        return sorted(rows, key=lambda row: [(value is not None, str(value)) for value in row])


def _known_by_name(folder: Folder) -> Dataset:
    """The dataset for `Loading`, which makes no files of it here."""

    def row(_: random.Random) -> Row:
        raise AssertionError("its files are given, not made")

    def read(_: Row) -> tuple[Grain, Measures]:
        raise AssertionError("its files are given, not read")

    return Dataset(
        name=folder.name,
        same_key=folder.dataset.same_key,
        header="",
        row=row,
        read=read,
        grain_columns=0,
        view="",
        aggregates="",
        by_file="",
    )
