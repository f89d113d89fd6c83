"""A dataset of the project, and files of its own, for tools that take any: the first by name."""

from dataclasses import dataclass
from pathlib import Path

from tools.datasets.reading import Folder, read_folders

PROJECT = Path(__file__).parents[2]
# What an example case has where not every row of its files counts.
FAULTS = ("rejected.csv", "refused.csv")


class NoneFitsError(LookupError):
    """The project has no dataset of that kind."""


@dataclass(frozen=True)
class Example:
    """A file of which every row counts."""

    dataset: str
    path: Path


def folders(project: Path = PROJECT) -> list[Folder]:
    """The datasets by name. Raises SpecError."""
    return read_folders(project / "sql/datasets")


def first(kind: str = "", project: Path = PROJECT) -> Folder:
    """A dataset, of this format where one is given. Raises NoneFitsError, SpecError."""
    for folder in folders(project):
        if kind in ("", folder.dataset.format.type):
            return folder
    raise NoneFitsError(f"sql/datasets has no dataset{kind and f' of the format {kind}'}")


def example(dataset: str = "", project: Path = PROJECT) -> Example:
    """A file of a dataset's example cases; without a name of one whose files replace each other.

    Raises NoneFitsError, SpecError.
    """
    for folder in folders(project):
        if folder.name == dataset or (not dataset and folder.dataset.same_key == "replace"):
            for path in _clean_files(folder.path):
                return Example(folder.name, path)
    raise NoneFitsError(
        f"no example case of {dataset or 'a dataset with same_key: replace'} has a file of which"
        " every row counts: docs/datasets.md says how to write one"
    )


def _clean_files(folder: Path) -> list[Path]:
    return [
        path
        for case in sorted(folder.glob("examples/*"))
        if not any((case / name).exists() for name in FAULTS)
        for path in sorted((case / "in").rglob("*"))
        if path.is_file()
    ]
