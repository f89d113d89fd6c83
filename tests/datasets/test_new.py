"""Datasets made of samples: what a dataset.yaml says of a file, and what is asked or refused."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import binaryornot
import duckdb
import pytest

from local.dialect import split, translate
from tools.datasets import new
from tools.datasets.drafting import Choices, draft
from tools.datasets.ignoring import MODULE
from tools.datasets.inferring import QuestionError
from tools.datasets.reading import Folder, read_folder
from tools.datasets.rendering import Rendering
from tools.datasets.sampling import SampleError, beginning, read_sample
from tools.datasets.spec import Csv

ROOT = Path(__file__).parents[2]
SAMPLES = Path(__file__).parent / "samples"
# Files that others wrote: tests/datasets/samples/README.md says whose they are.
REAL = [
    *sorted(SAMPLES.glob("*.csv*")),
    Path(binaryornot.__file__).parent / "data/encodings.csv",
]

Make = Callable[..., Folder]
NO_CHOICES = Choices()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """The dataset `orders` of a sample: a file, or its text."""

    def made(sample: Path | str, choices: Choices = NO_CHOICES, **how: Any) -> Folder:
        path = sample if isinstance(sample, Path) else tmp_path / "sample.csv"
        if isinstance(sample, str):
            path.write_bytes(sample.encode())
        folder = tmp_path / "orders"
        folder.mkdir(exist_ok=True)
        text = draft("orders", read_sample(path, **how), choices).text
        (folder / "dataset.yaml").write_text(text)
        return read_folder(folder)

    return made


def csv_of(folder: Folder) -> Csv:
    assert isinstance(folder.dataset.format, Csv)
    return folder.dataset.format


def types(folder: Folder) -> dict[str, str]:
    return {name: value.type for name, value in folder.dataset.values.items()}


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_files_become_datasets_whose_sql_the_gate_lets_pass(make: Make, path: Path) -> None:
    folder = make(path, Choices(dates="DMY"))
    for sql in Rendering(folder).files().values():
        for statement in split(sql):
            translate(statement)


def test_semicolons_and_decimal_commas_are_seen(make: Make) -> None:
    folder = make('datum;betrag;kunde\n31.12.2026;1.234,50;Müller\n1.1.2027;-12,00;"Meier; Sohn"\n')
    assert (csv_of(folder).delimiter, csv_of(folder).decimal_mark) == (";", ",")
    assert csv_of(folder).group_mark == "."
    assert types(folder) == {"datum": "date", "betrag": "decimal", "kunde": "text"}
    assert folder.dataset.columns[0].format == "D.M.YYYY"


def test_timestamps_keep_their_zones(make: Make) -> None:
    folder = make("at,n\n2026-11-24T10:00:00+01:00,1\n2026-11-24T11:30:00.250Z,2\n")
    assert types(folder) == {"at": "timestamp", "n": "integer", "at_day": "date"}
    assert folder.dataset.tables["orders_by_at_day"].grouped == [("at_day", "at_day")]
    text = (folder.path / "dataset.yaml").read_text()
    assert "names no zone" not in text


def test_an_index_column_without_a_name_gets_one(make: Make) -> None:
    folder = make('"","y"\n"1",5\n"2",6\n')
    assert [(c.name, c.heading) for c in folder.dataset.columns] == [("row_index", ""), ("y", "y")]


def test_a_hundred_columns_are_a_hundred_columns(make: Make) -> None:
    header = ",".join(f"Column {number}" for number in range(100))
    folder = make(f"{header}\n{','.join(['1'] * 100)}\n")
    assert len(folder.dataset.columns) == 100
    assert folder.dataset.columns[99].name == "column_99"


def test_names_that_sql_cannot_have_are_replaced(make: Make) -> None:
    folder = make("Order,order,file_id,2nd\nx,y,z,1\n")
    assert [column.name for column in folder.dataset.columns] == [
        "order_", "order_2", "file_id_", "c_2nd"
    ]  # fmt: skip


def test_columns_that_share_a_name_are_to_be_looked_at(make: Make) -> None:
    text = (make("amount,Amount,amount\n1,2,3\n").path / "dataset.yaml").read_text()
    assert text.count("an earlier column is called amount already") == 2
    assert "# Look: amount_3: an earlier" in text


def test_names_made_of_names_hold_no_two_underscores(make: Make) -> None:
    folder = make("datetime,sum\n2026-11-24 10:00:00,1\n")
    assert list(folder.dataset.values) == ["datetime_", "sum", "datetime_day"]


def test_null_markers_are_seen_where_the_rest_is_of_a_type(make: Make) -> None:
    folder = make("a,b,c\n1,2026-01-01,x\nNA,-,NA\n\\N,NULL,y\n")
    nulls = {column.name: (column.null, column.required) for column in folder.dataset.columns}
    assert nulls == {
        "a": (["", "\\N", "NA"], False),
        "b": (["", "\\N", "NULL", "-"], False),
        "c": (["", "\\N"], True),
    }
    assert "does NA stand for no value?" in (folder.path / "dataset.yaml").read_text()


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-20"], "integer"),
        (["01", "20"], "text"),
        (["9" * 19], "text"),
        (["1.5", "2"], "decimal"),
        (["1.23456", "2"], "double"),
        (["1e3", "2.5"], "double"),
        (["true", "False"], "boolean"),
        (["y", "n"], "boolean"),
        (["y"], "text"),
        (["20261124", "20261231"], "date"),
        (["20261124", "20261331"], "integer"),
        (["2026-11-24", "2026-02-30"], "text"),
        (["2026-11-24 10:00"], "timestamp"),
        (["24.11.2026 10:00:00"], "timestamp"),
        (["11/24/2026"], "date"),
        (["1/1/85"], "text"),
        (["24 Nov 2026"], "text"),
    ],
)
def test_types(make: Make, texts: list[str], kind: str) -> None:
    folder = make("word,x\n" + "".join(f"w,{text}\n" for text in texts))
    assert types(folder)["x"] == kind


def test_bounds_reach_further_than_the_sample(make: Make) -> None:
    folder = make("a,b,d,month\n5,-3,2026-11-24,2\n123,40,2026-11-25,3\n")
    bounds = [(column.min, column.max) for column in folder.dataset.columns]
    assert bounds == [(0, 10000), (-1000, 1000), ("2020-01-01", "2040-01-01"), (1, 12)]


def test_a_table_adds_up_by_the_date_and_the_fewest_words(make: Make) -> None:
    rows = "".join(f"2026-11-2{n % 3},o{n},{'ab'[n % 2]},{n}.5\n" for n in range(10))
    table = make(f"day_of,order_name,region,amount\n{rows}").dataset.tables["orders_by_day_of"]
    assert [name for name, _ in table.grouped] == ["day_of", "region"]
    assert list(table.measures) == ["row_count", "amount_total"]


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("d,n\n02.11.2026,1\n03.04.2026,2\n", {"dates": ["DMY", "MDY"]}),
        ("d;n\nx;1,234\ny;2,345\n", {"decimal": [",", "."]}),
        ("d;n\nx;1.234\ny;2.345\n", {"decimal": [",", "."]}),
    ],
)
def test_what_can_be_read_two_ways_is_asked_for(
    make: Make, text: str, choices: dict[str, list[str]]
) -> None:
    [(option, answers)] = choices.items()
    with pytest.raises(QuestionError, match=r"sample\.csv:2: ") as raised:
        make(text)
    assert raised.value.option == option.upper()
    assert sorted(raised.value.answers) == answers
    for answer in answers:
        make(text, Choices(**{option: answer}))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'a,b\n1,x\n2,"y\nz"\n', "sample:3: a quoted field goes on over the end of the line"),
        (b"a,b\n1,\xe9\n", "sample:2: is not UTF-8"),
        (b"a,b\n1,\0\n", "sample:2: holds a NUL byte"),
        (
            b"Title\nx,a,b\n1,x,y\n2,z,w\n",
            "sample:1: the header names 1 columns, and most rows have 3",
        ),
        (b"a,b\n1,2,3\n4,5,6\n", "sample:1: the header names 2 columns"),
        (b"a,b\n", "sample: holds no rows"),
        (b"", "sample: holds no rows"),
        (b"PK\x03\x04", "Excel"),
        (b"ORC\x01", "ORC"),
        (b"Obj\x01\x04", "sample: is Avro, which is not loaded"),
        (b"\x28\xb5\x2f\xfd\x04", "sample: is compressed by zstd"),
        (b"\xff\x06\x00\x00sNaPpY", "sample: is compressed by snappy"),
        (b'[\n  {"a": 1}\n]\n', "sample:1: is a JSON array: write JSON lines"),
        (b'{\n  "a": 1\n}\n', "sample:1: is not a JSON object"),
        (b'{"a": 1}\n[1]\n', "sample:2: is not a JSON object"),
    ],
)
def test_what_cannot_be_loaded_is_refused(
    make: Make, tmp_path: Path, data: bytes, problem: str
) -> None:
    path = tmp_path / "sample"
    path.write_bytes(data)
    with pytest.raises(SampleError, match=problem):
        make(path)


def test_rows_of_another_width_are_told_of(make: Make) -> None:
    folder = make("a,b\n1,2\n3,4\n5,6,7\n8,9\n")
    assert (
        "1 rows have other than 2 fields, line 4 first"
        in (folder.path / "dataset.yaml").read_text()
    )


def test_a_file_without_a_header_has_none(make: Make) -> None:
    folder = make("1,2.5\n2,3.5\n")
    assert csv_of(folder).header == "none"
    assert [column.name for column in folder.dataset.columns] == ["column_1", "column_2"]


def test_json_lines_have_paths(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "sample.jsonl.gz"
    deep = '{"b": {"c": {"d": {"e": {"f": 1}}}}}'
    lines = (
        f'{{"id": 1, "who": {{"name": "x"}}, "tags": [], "a": {deep}}}\n'
        '{"id": 2, "who": {"name": null}}\n'
    )
    path.write_bytes(gzip.compress(lines.encode()))
    folder = make(path)
    assert folder.dataset.format.type == "jsonl"
    assert [(column.name, column.heading) for column in folder.dataset.columns] == [
        ("id", "id"), ("who_name", "who.name")
    ]  # fmt: skip
    text = (folder.path / "dataset.yaml").read_text()
    assert "tags is passed over" in text
    assert "a.b.c.d.e.f is passed over" in text


def test_parquet_has_types(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "sample.parquet"
    duckdb.sql(
        "select 1::int as n, 2.5::decimal(9, 1) as amount, 'x' as word, date '2026-11-24' as day,"
        " timestamp '2026-11-24 10:00:00' as at, [1] as list, {'a': 1} as nested, 1 as Capital"
    ).write_parquet(str(path))
    folder = make(path)
    assert [(column.type, column.stored) for column in folder.dataset.columns] == [
        ("integer", "int"),
        ("decimal", "decimal(9,1)"),
        ("text", "string"),
        ("date", "date"),
        ("timestamp", "timestamp"),
    ]
    text = (folder.path / "dataset.yaml").read_text()
    for name in ("list", "nested", "Capital"):
        assert f"# Look: {name} is passed over" in text


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What `make dataset` writes to, in a copy."""
    copy = tmp_path / "project"
    shutil.copytree(ROOT / "sql/datasets", copy / "sql/datasets")
    shutil.copy(ROOT / "template.yaml", copy)
    (copy / MODULE).parent.mkdir(parents=True)
    return copy


def run(monkeypatch: pytest.MonkeyPatch, project: Path, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["new", "--project", str(project), *arguments])
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    return new.main()


def test_a_dataset_is_written_with_what_follows(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = project / "orders.csv"
    sample.write_text("day_of,amount\n2026-11-24,1.5\n")
    assert run(monkeypatch, project, "orders", str(sample)) == 0
    assert (project / "sql/datasets/orders/load_orders.sql").exists()
    example = project / "sql/datasets/orders/examples/beginning_of_a_sample/in/orders.csv"
    assert example.read_bytes() == sample.read_bytes()
    told = capsys.readouterr().out
    assert "raw/orders/orders.csv" in told
    assert 'make test ARGS="tests/datasets -k orders --write-examples"' in told
    before = (project / "sql/datasets/orders/dataset.yaml").read_bytes()
    sample.write_text("other\n1\n")
    assert run(monkeypatch, project, "orders", str(sample)) == 1
    assert "is not written over" in capsys.readouterr().err
    assert (project / "sql/datasets/orders/dataset.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "meant"), [("Orders", "orders"), ("my-orders", "my_orders"), ("select", "select_")]
)
def test_name_that_sql_cannot_have_is_refused_with_one_that_it_can(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    meant: str,
) -> None:
    assert run(monkeypatch, project, name, "orders.csv") == 1
    told = capsys.readouterr().err
    assert told.startswith("NAME is the dataset's")
    assert told.endswith(f"NAME={meant}\n")
    assert "source" not in told


def test_example_is_the_beginning_of_the_sample(tmp_path: Path) -> None:
    rows = [f"{number},x\r\n" for number in range(50)]
    path = tmp_path / "orders.csv.gz"
    path.write_bytes(gzip.compress(f"\ufeffid,word\r\n{''.join(rows)}".encode()))
    assert beginning(read_sample(path), 20) == (
        "orders.csv", f"id,word\r\n{''.join(rows[:20])}".encode()
    )  # fmt: skip
    path = tmp_path / "orders.jsonl"
    path.write_text('{"id": 1}\n{"id": 2}')
    assert beginning(read_sample(path), 1) == ("orders.jsonl", b'{"id": 1}\n')
    path = tmp_path / "orders.parquet"
    duckdb.sql("select range as id from range(50)").write_parquet(str(path))
    name, content = beginning(read_sample(path), 20)
    (tmp_path / name).write_bytes(content)
    assert read_sample(tmp_path / name).rows == 20


def test_without_a_terminal_an_error_says_what_answers(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = project / "orders.csv"
    sample.write_text("d,n\n02.11.2026,1\n")
    assert run(monkeypatch, project, "orders", str(sample)) == 1
    assert "Say DATES=DMY or DATES=MDY" in capsys.readouterr().err
    assert not (project / "sql/datasets/orders").exists()
    assert run(monkeypatch, project, "--dates", "DMY", "orders", str(sample)) == 0


def test_a_terminal_is_asked(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = project / "orders.csv"
    sample.write_text("d,n\n02.11.2026,1\n")
    answers = iter(["what?", "mdy"])
    monkeypatch.setattr("sys.argv", ["new", "--project", str(project), "orders", str(sample)])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    assert new.main() == 0
    assert "MM.DD.YYYY" in (project / "sql/datasets/orders/dataset.yaml").read_text()


@pytest.mark.long
def test_hundred_columns_make_procedures_that_the_data_api_takes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ("1", "1.5", "word", "2026-11-24", "2026-11-24T10:00:00Z", "31.12.2026")
    sample = project / "wide.csv"
    names = [f"Measured value {number}" for number in range(100)]
    sample.write_text(f"{','.join(names)}\n{','.join(kinds[n % 6] for n in range(100))}\n")
    assert run(monkeypatch, project, "wide", str(sample)) == 0
    for path in (project / "sql/datasets/wide").glob("*.sql"):
        for statement in split(path.read_text()):
            assert len(statement.encode()) <= 100_000
            translate(statement)


def test_more_columns_than_a_procedure_can_hold_are_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = project / "wide.csv"
    sample.write_text(f"{','.join(f'c{n}' for n in range(300))}\n{','.join(['1'] * 300)}\n")
    assert run(monkeypatch, project, "wide", str(sample)) == 1
    told = capsys.readouterr().err
    assert "for 300 columns, and the Data API takes 100,000 in a statement: shorten" in told
    assert not (project / "sql/datasets/wide").exists()
