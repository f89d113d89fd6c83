from pathlib import Path

import pytest

from tools.datasets.reading import SpecError, read_folder

SPEC = """description: Anything.
same_key: append
format: {{type: {form}}}
columns:
  - {{name: a, {column}}}
tables:
  rows_of_it: {{rows: all}}
"""


def told(tmp_path: Path, form: str, column: str) -> str:
    folder = tmp_path / "anything"
    folder.mkdir()
    (folder / "dataset.yaml").write_text(SPEC.format(form=form, column=column))
    try:
        read_folder(folder)
    except SpecError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("stored", "column"),
    [
        ("int", "type: integer"),
        ("string", "type: timestamp"),
        ("float", "type: double"),
        ('"decimal(9,2)"', "type: decimal, precision: 12, scale: 3"),
    ],
)
@pytest.mark.parametrize("form", ["parquet", "orc"])
def test_stored_type_becomes_its_kind(tmp_path: Path, form: str, stored: str, column: str) -> None:
    assert told(tmp_path, form, f"stored: {stored}, {column}") == ""


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("type: integer", "needs stored"),
        ("stored: double, type: integer", "a stored double becomes double, not integer"),
        ("stored: int, type: text", "a stored int becomes integer, not text"),
        ("stored: int64, type: integer", "stored must be string, boolean, tinyint"),
        ('stored: "array<int>", type: integer', "and is array<int>"),
        (
            'stored: "decimal(9,4)", type: decimal, precision: 12, scale: 2',
            "does not fit precision 12 and scale 2",
        ),
        ("stored: int, type: integer, source: TailNum", "names of small letters"),
    ],
)
def test_stored_type_that_loses_something_is_refused(
    tmp_path: Path, column: str, problem: str
) -> None:
    assert problem in told(tmp_path, "parquet", column)


@pytest.mark.parametrize(
    ("source", "problem"),
    [("a.b.c.d.e", ""), ("a.b.c.d.e.f", "5 levels at most"), ("a..b", "an empty name")],
)
def test_paths_of_json_are_those_that_redshift_follows(
    tmp_path: Path, source: str, problem: str
) -> None:
    assert problem in told(tmp_path, "jsonl", f"type: text, source: {source}")


@pytest.mark.parametrize("form", ["avro", "xlsx", "xml"])
def test_other_formats_are_refused_by_name(tmp_path: Path, form: str) -> None:
    assert f"csv, jsonl, parquet, orc; it is '{form}'" in told(tmp_path, form, "type: text")
