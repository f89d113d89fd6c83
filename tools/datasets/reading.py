"""A folder of datasets, read and checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tools.datasets import text
from tools.datasets.checking import problems
from tools.datasets.names import check_name
from tools.datasets.spec import (
    Column,
    Csv,
    Dataset,
    Derived,
    Header,
    JsonLines,
    Measure,
    Orc,
    Parquet,
    Table,
)

SPEC = "dataset.yaml"
FORMATS: dict[str, type[BaseModel]] = {
    "csv": Csv,
    "jsonl": JsonLines,
    "parquet": Parquet,
    "orc": Orc,
}


class SpecError(ValueError):
    """A dataset.yaml that cannot stand as it is: a line a problem, with file and line."""


@dataclass(frozen=True)
class Folder:
    """One dataset's folder, whose name is the dataset's."""

    path: Path
    dataset: Dataset

    @property
    def name(self) -> str:
        return self.path.name


def read_folders(root: Path) -> list[Folder]:
    """The datasets below `root`, by name. Raises SpecError with the problems of all of them."""
    folders: list[Folder] = []
    found: list[str] = []
    for spec in sorted(root.glob(f"*/{SPEC}")):
        try:
            folders.append(read_folder(spec.parent))
        except SpecError as error:
            found.append(str(error))
    found += _shared_views(folders)
    if found:
        raise SpecError("\n".join(found))
    return folders


def read_folder(path: Path) -> Folder:
    """One dataset. Raises SpecError."""
    spec = path / SPEC
    try:
        check_name(path.name)
    except ValueError as error:
        raise SpecError(f"{spec}: the folder's name is the dataset's: {error}") from None
    try:
        document = text.read(spec.read_text(encoding="utf-8"))
    except text.TextError as error:
        raise SpecError(f"{spec}:{error.line}: {error}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{spec}: is not UTF-8 ({error.reason} at byte {error.start})") from None
    try:
        dataset = Dataset.model_validate(document.content)
    except ValidationError as error:
        raise SpecError("\n".join(_described(spec, document, error))) from None
    found = [_line(spec, document, where, problem) for where, problem in problems(dataset)]
    procedure = f"load_{path.name}.sql"
    if dataset.load == "by_hand" and not (path / procedure).exists():
        missing = f"by_hand, but there is no {procedure} beside it"
        found.append(_line(spec, document, ("load",), missing))
    if found:
        raise SpecError("\n".join(found))
    return Folder(path, dataset)


def _shared_views(folders: list[Folder]) -> Iterator[str]:
    owners: dict[str, str] = {}
    for folder in folders:
        for view in folder.dataset.tables:
            if view in owners:
                yield (
                    f"{folder.path / SPEC}: tables.{view}: {owners[view]} has a table of that name"
                )
            owners[view] = folder.name


def _described(spec: Path, document: text.Document, error: ValidationError) -> Iterator[str]:
    told: set[text.Location] = set()
    for details in error.errors():
        where = _place(document, details["loc"])
        # Of a value that fits none of several alternatives, the first says what may be.
        if where not in told:
            yield _line(spec, document, where, _problem(details))
        told.add(where)


def _place(document: text.Document, loc: tuple[int | str, ...]) -> text.Location:
    """Where an error is meant, without the names of alternatives that pydantic puts between."""
    place: text.Location = ()
    for part in loc:
        if (*place, part) in document.lines:
            place = (*place, part)
        elif part == loc[-1] and part in _keys_at(loc[:-1]):
            return (*place, part)
    return place


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand at a place, as pydantic names it."""
    model: type[BaseModel]
    match loc:
        case ():
            model = Dataset
        case ("columns", _):
            model = Column
        case ("derived", _):
            model = Derived
        case ("format", str(kind)) if kind in FORMATS:
            model = FORMATS[kind]
        case ("format", "csv", "header", "Header"):
            model = Header
        case ("tables", _):
            model = Table
        case ("tables", _, "measures", _, "measure"):
            model = Measure
        case _:
            return []
    return list(model.model_fields)


def _problem(details: ErrorDetails) -> str:
    given = details["input"]
    if details["type"] == "missing":
        return "is missing"
    if details["type"] == "extra_forbidden":
        *around, key = details["loc"]
        return _unknown_key(str(key), _keys_at(tuple(around)))
    if details["type"] == "union_tag_not_found":
        return f"type is missing; it is one of {', '.join(FORMATS)}"
    if details["type"] == "union_tag_invalid":
        return f"type must be one of {', '.join(FORMATS)}; it is {given['type']!r}"
    if details["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"must be keys with their values; it is {_shown(given)}"
    message = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if details["type"] == "value_error":
        return message
    return f"{message[0].lower()}{message[1:]}; it is {_shown(given)}"


def _unknown_key(key: str, known: list[str]) -> str:
    near = get_close_matches(key, known, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"is no key that may stand here; {meant}there are {', '.join(known)}"


def _shown(given: object) -> str:
    if given is None:
        return "empty"
    if isinstance(given, list):
        return "a list" if given else "an empty list"
    return "a mapping" if isinstance(given, dict) else repr(given)


def _line(spec: Path, document: text.Document, where: text.Location, problem: str) -> str:
    field = ".".join(map(str, where))
    return f"{spec}:{document.line(where)}: {field}{': ' if field else ''}{problem}"
