"""What is said of a dataset.yaml that cannot stand: file, line, field, what is wrong with it."""

from pathlib import Path

import pytest

from tools.datasets.reading import SpecError, read_folder, read_folders
from tools.datasets.spec import Column, Dataset, JsonLines, Measure, Model

HEAD = "description: Orders.\nsame_key: append\nformat: {type: csv}\n"
COLUMNS = """columns:
  - {name: id, type: integer}
  - {name: day, type: date}
  - {name: amount, type: decimal}
  - {name: note, type: text}
  - {name: paid, type: boolean}
"""
ROWS = "tables:\n  orders: {rows: all}\n"


def column(text: str) -> str:
    """A spec with one column, on line 5."""
    return f"{HEAD}columns:\n  - {{{text}}}\n{ROWS}"


def form(text: str) -> str:
    """A spec of this format, on line 3."""
    return HEAD.replace("{type: csv}", f"{{{text}}}") + COLUMNS + ROWS


def measure(text: str, columns: str = COLUMNS) -> str:
    """A spec with one measure, on its last line."""
    return f"{HEAD}{columns}tables:\n  days:\n    grain: [day]\n    measures:\n      m: {text}\n"


def table(text: str) -> str:
    """A spec with one table, on line 11."""
    return f"{HEAD}{COLUMNS}tables:\n  days: {{{text}}}\n"


def keys(model: type[Model]) -> str:
    """The keys that a part of a spec may have, as an error lists them."""
    return ", ".join(model.model_fields)


WRONG = {
    "empty": ("", "1: must be keys with their values; it is empty"),
    "a list": ("- description: Orders.\n", "1: must be keys with their values; it is a list"),
    "no YAML": ("description: [Orders\n", "2: expected ',' or ']', but got '<stream end>'"),
    "a tab": (
        "description: Orders.\n\tsame_key: append\n",
        "2: found character '\\t' that cannot start any token",
    ),
    "a key twice": (f"{HEAD}same_key: replace\n{COLUMNS}{ROWS}", '4: "same_key" is given twice'),
    "no description": (
        f"same_key: append\nformat: {{type: csv}}\n{COLUMNS}{ROWS}",
        "1: description: is missing",
    ),
    "no tables": (HEAD + COLUMNS, "1: tables is missing: what shall be kept of the rows?"),
    "the view of rejects": (
        f"{HEAD}{COLUMNS}tables:\n  rejected_rows: {{rows: all}}\n",
        "11: tables.rejected_rows: is the view in which analysts see the rejects of all datasets",
    ),
    "no columns": (
        HEAD + "columns: []\n" + ROWS,
        "4: columns: list should have at least 1 item after validation, not 0; it is an empty list",
    ),
    "an unknown key": (
        HEAD + COLUMNS + ROWS + "owner: me\n",
        "12: owner: is no key that may stand here; there are " + keys(Dataset),
    ),
    "an unknown rule": (
        HEAD.replace("append", "newest") + COLUMNS + ROWS,
        "2: same_key: should be 'replace' or 'append'; it is 'newest'",
    ),
    "a path to ignore": (
        HEAD + 'ignore: ["*.bak", drafts/a.csv]\n' + COLUMNS + ROWS,
        "4: ignore.1: must be the pattern of a file's name, such as *.bak, or of a folder's, such"
        " as drafts/, and is 'drafts/a.csv'",
    ),
    "everything to ignore": (
        HEAD + 'ignore: ["*"]\n' + COLUMNS + ROWS,
        "4: ignore.0: must be the pattern of a file's name, such as *.bak, or of a folder's, such"
        " as drafts/, and is '*'",
    ),
    "freshness of weeks": (
        HEAD + "freshness_hours: 400\n" + COLUMNS + ROWS,
        "4: freshness_hours: should be less than or equal to 168; it is 400",
    ),
    "freshness in words": (
        HEAD + "freshness_hours: daily\n" + COLUMNS + ROWS,
        "4: freshness_hours: should be a valid integer; it is 'daily'",
    ),
    "an unknown format": (
        form("type: xlsx"),
        "3: format: type must be one of csv, jsonl, parquet, orc; it is 'xlsx'",
    ),
    "a format without a type": (
        form('delimiter: ";"'),
        "3: format: type is missing; it is one of csv, jsonl, parquet, orc",
    ),
    "a delimiter of two": (
        form('type: csv, delimiter: "||"'),
        "3: format: delimiter must be one ASCII character, and is '||'",
    ),
    "a delimiter that is the quote": (
        form("type: csv, delimiter: '\"'"),
        "3: format: delimiter and quote must differ",
    ),
    "a key of another format": (
        form('type: jsonl, delimiter: ";"'),
        "3: format.delimiter: is no key that may stand here; there are " + keys(JsonLines),
    ),
    "marks that are one": (
        form('type: csv, decimal_mark: ",", group_mark: ","'),
        "3: format: group_mark and decimal_mark must differ",
    ),
    "an unknown header": (
        form("type: csv, header: some"),
        "3: format.header: should be 'exact' or 'none'; it is 'some'",
    ),
    "an alias of nothing": (
        form("type: csv, header: {aliases: {ident: [Id]}}"),
        "3: format.header.aliases.ident: no column is called ident; there are id, day, "
        "amount, note, paid",
    ),
    "an earlier header of another order": (
        form("type: csv, accepts: [[day, id]]"),
        "3: format.accepts.0: must be the beginning of the present header, and shorter: "
        "only columns that were added at the end can be told apart; write another dataset "
        "for other files",
    ),
    "an earlier header without one": (
        form("type: csv, header: none, accepts: [[id, day]]"),
        "3: format.accepts: files without a header cannot tell which columns they have",
    ),
    "a required column that earlier files lack": (
        form("type: csv, accepts: [[id, day]]").replace(
            "name: paid,", "name: paid, required: true,"
        ),
        "3: format.accepts.0: paid is required, and files with this header lack it",
    ),
    "a column without a type": (column("name: id"), "5: columns.0.type: is missing"),
    "an unknown type": (
        column("name: id, type: int"),
        "5: columns.0.type: should be 'integer', 'decimal', 'double', 'text', 'boolean', "
        "'date' or 'timestamp'; it is 'int'",
    ),
    "a name in capitals": (
        column("name: OrderId, type: integer"),
        '5: columns.0.name: "OrderId" must hold small letters, digits and _ only, begin '
        "with a letter, and have 63 at most; call it orderid, and give source: OrderId",
    ),
    "a name with double underscores": (
        column("name: row__line, type: text"),
        '5: columns.0.name: "row__line" holds __, which is kept for names that are made here;'
        " call it row_line, and give source: row__line",
    ),
    "a reserved word": (
        column("name: order, type: integer"),
        '5: columns.0.name: "order" is a reserved word of Redshift; call it order_,'
        " and give source: order",
    ),
    "a name that tables take": (
        column("name: file_id, type: text"),
        '5: columns.0.name: "file_id" is a name that tables and load procedures have themselves;'
        " call it file_id_, and give source: file_id",
    ),
    "a misspelt column in SQL": (
        f"{HEAD}{COLUMNS}derived:\n  month: {{type: date, sql: trunc(dya)}}\n{ROWS}",
        "11: derived.month.sql: no column is called dya; did you mean day? there are id, day,"
        " amount, note, paid",
    ),
    "a column of SQL that is derived too": (
        f"{HEAD}{COLUMNS}derived:\n  a: {{type: text, sql: note}}\n  b: {{type: text, sql: a}}\n"
        + ROWS,
        "12: derived.b.sql: no column is called a; there are id, day, amount, note, paid",
    ),
    "a misspelt column in a condition": (
        measure("{count_if: amuont > 5}"),
        "14: tables.days.measures.m: no column is called amuont; did you mean amount? there are id,"
        " day, amount, note, paid",
    ),
    "a ratio of what is not kept": (
        f"{HEAD}{COLUMNS}tables:\n  days:\n    grain: [day]\n    measures: {{n: count}}\n"
        "    computed: {mean: amount / n}\n",
        "14: tables.days.computed.mean: no column is called amount; there are day, n",
    ),
    "no SQL": (
        measure("{count_if: amount >}"),
        "14: tables.days.measures.m: is no expression of Redshift's SQL: 'amount >': "
        "nothing fits from '>' on",
    ),
    "an open bracket in SQL": (
        measure("{count_if: (amount}"),
        "14: tables.days.measures.m: is no expression of Redshift's SQL: '(amount': "
        "a bracket or quote is not closed",
    ),
    "two statements as SQL": (
        measure('{count_if: "amount); drop table x; select (amount"}'),
        "14: tables.days.measures.m: is no expression of Redshift's SQL: 'amount); drop table x;"
        " select (amount': is more than an expression",
    ),
    "a misspelt key of a column": (
        column("name: id, type: integer, requird: true"),
        "5: columns.0.requird: is no key that may stand here; did you mean required? there are "
        + keys(Column),
    ),
    "YAML 1.1's yes": (
        column("name: id, type: integer, required: yes"),
        "5: columns.0.required: should be a valid boolean; it is 'yes'",
    ),
    "a bound in words": (
        column("name: id, type: integer, min: one"),
        "5: columns.0: min of integer must be a whole number, and is 'one'",
    ),
    "a bound with a fraction": (
        column("name: id, type: integer, max: 1.5"),
        "5: columns.0: max of integer must be a whole number, and is 1.5",
    ),
    "a bound of a text": (
        column("name: note, type: text, max: 5"),
        "5: columns.0: max is for numbers, dates and timestamps, and this is a text",
    ),
    "a bound that is no date": (
        column("name: day, type: date, min: 01.02.2026"),
        "5: columns.0: min of date must be written like 2026-11-24, and is '01.02.2026'",
    ),
    "bounds that cross": (
        column("name: id, type: integer, min: 9, max: 1"),
        "5: columns.0: min 9 is greater than max 1",
    ),
    "a pattern of a number": (
        column("name: id, type: integer, pattern: '[0-9]'"),
        "5: columns.0: pattern is for a text, and this is an integer",
    ),
    "a pattern of Perl": (
        column("name: note, type: text, pattern: '(?i)a'"),
        '5: columns.0: pattern "(?i)a" holds (?, which POSIX does not know',
    ),
    "a pattern that is none": (
        column("name: note, type: text, pattern: '['"),
        '5: columns.0: pattern "[": unterminated character set at position 0',
    ),
    "a text too long": (
        column("name: note, type: text, max_length: 20000"),
        "5: columns.0.max_length: should be less than or equal to 16383; it is 20000",
    ),
    "a scale beyond the precision": (
        column("name: amount, type: decimal, precision: 2, scale: 4"),
        "5: columns.0: scale 4 is greater than precision 2",
    ),
    "a format of a number": (
        column("name: id, type: integer, format: YYYY"),
        "5: columns.0: format is for a date or timestamp, and this is an integer",
    ),
    "a format with names of months": (
        column("name: day, type: date, format: DD Mon YYYY"),
        '5: columns.0: format "DD Mon YYYY" holds Mon; it is made of YYYY MM DD M D HH MI '
        "SS and of what stands between them, or is epoch or epoch_ms",
    ),
    "a date with a time": (
        column('name: day, type: date, format: "YYYY-MM-DD HH:MI"'),
        '5: columns.0: format "YYYY-MM-DD HH:MI" of a date holds a time; make it a timestamp',
    ),
    "a format without a year": (
        column("name: day, type: date, format: DD.MM"),
        '5: columns.0: format "DD.MM" of a date must hold YYYY once',
    ),
    "a date of an epoch": (
        column("name: day, type: date, format: epoch"),
        "5: columns.0: epoch is for a timestamp",
    ),
    "a zone of a date": (
        column("name: day, type: date, zone: Europe/Berlin"),
        "5: columns.0: zone is for a timestamp, and this is a date",
    ),
    "a stored type of text": (
        column("name: id, type: integer, stored: int"),
        "5: columns.0.stored: is for Parquet and ORC; text has no types",
    ),
    "a Parquet column without its type": (
        column("name: id, type: integer").replace("type: csv", "type: parquet"),
        "5: columns.0: id needs stored, its type in the file: int, bigint, double, string …",
    ),
    "a derived column without SQL": (
        HEAD + COLUMNS + "derived:\n  week: {type: date}\n" + ROWS,
        "11: derived.week.sql: is missing",
    ),
    "a derived column of a name that is there": (
        HEAD + COLUMNS + "derived:\n  day: {type: date, sql: day}\n" + ROWS,
        "11: derived.day: a column is called day already",
    ),
    "dates of an unknown column": (
        HEAD + "dates: month\n" + COLUMNS + ROWS,
        "4: dates: no column is called month; there are id, day, amount, note, paid",
    ),
    "dates of a number": (
        HEAD + "dates: id\n" + COLUMNS + ROWS,
        "4: dates: id is an integer, not a date or timestamp",
    ),
    "rows and measures": (
        table("rows: all, grain: [day], measures: {m: count}"),
        "11: tables.days: has either rows, or grain and measures",
    ),
    "neither rows nor measures": (
        table("description: Empty."),
        "11: tables.days: has either rows, or grain and measures",
    ),
    "rows of an unknown column": (
        table("rows: [id, total]"),
        "11: tables.days.rows.1: no column is called total; there are id, day, amount, note, paid",
    ),
    "rows with a computed column": (
        table("rows: all, computed: {a: id + 1}"),
        "11: tables.days: a table of rows has no grain and computes nothing",
    ),
    "a grain of an unknown column": (
        table("grain: [month], measures: {m: count}"),
        "11: tables.days.grain.0: no column is called month; there are id, day, amount, note, paid",
    ),
    "no grain": (
        table("measures: {m: count}"),
        "11: tables.days: measures need a grain: the columns to group by",
    ),
    "two columns of a name": (
        table("grain: [day], measures: {day: count}"),
        "11: tables.days: two columns are called day",
    ),
    "an unknown measure": (
        measure("{total: amount}"),
        "14: tables.days.measures.m.total: is no key that may stand here; there are "
        + keys(Measure),
    ),
    "an average": (
        measure("{avg: amount}"),
        "14: tables.days.measures.m: avg of files does not add up to that of all: keep "
        "the sum and the count as measures, and write their ratio under computed",
    ),
    "a median": (
        measure("{median: amount}"),
        "14: tables.days.measures.m: median of files does not add up to that of all: keep "
        "the rows, by a table with rows instead of measures, and compute it of them",
    ),
    "a count of different values": (
        measure("{distinct: note}"),
        "14: tables.days.measures.m: distinct of files does not add up to that of all: name the "
        "column in the grain of a table of its own, with a count, and whoever reads its view "
        "writes count(distinct …) over few rows",
    ),
    "by hand without a procedure": (
        HEAD + "load: by_hand\n" + COLUMNS,
        "4: load: by_hand, but there is no load_orders.sql beside it",
    ),
    "two measures in one": (
        measure("{min: amount, max: amount}"),
        "14: tables.days.measures.m: must be count, {count_if: …}, {sum: …}, {min: …} or {max: …}",
    ),
    "another word for count": (
        measure("rows"),
        "14: tables.days.measures.m: should be 'count'; it is 'rows'",
    ),
    "a sum of an unknown column": (
        measure("{sum: total}"),
        "14: tables.days.measures.m: no column is called total; there are id, day, "
        "amount, note, paid",
    ),
    "a sum of a text": (
        measure("{sum: note}"),
        "14: tables.days.measures.m: sum of note, which is a text; count_if counts rows "
        "by a condition",
    ),
    "a sum of doubles without bounds": (
        measure("{sum: weight}", COLUMNS + "  - {name: weight, type: double}\n"),
        "15: tables.days.measures.m: sum of weight could leave its type; give weight min "
        "and max, within 1e290",
    ),
    "a sum of long decimals": (
        measure("{sum: price}", COLUMNS + "  - {name: price, type: decimal, precision: 30}\n"),
        "15: tables.days.measures.m: sum of price could leave its type: 30 digits; give "
        "price a precision of 26 or less",
    ),
    "the greatest of booleans": (
        measure("{max: paid}"),
        "14: tables.days.measures.m: max of a boolean, which Redshift lacks; write count_if: paid",
    ),
}


def said_of(folder: Path, text: str) -> str:
    """What is said of a spec, as from the folder of the datasets."""
    (folder / "orders").mkdir()
    (folder / "orders" / "dataset.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        read_folder(folder / "orders")
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_spec_names_file_line_field_and_fault(tmp_path: Path, text: str, said: str) -> None:
    assert said_of(tmp_path, text) == f"orders/dataset.yaml:{said}"


def test_all_faults_of_all_specs_are_told_at_once(tmp_path: Path) -> None:
    for name, text in (("a", column("name: id, type: int")), ("b", column("name: Id, type: text"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.yaml").write_text(text + "owner: me\n", encoding="utf-8")

    with pytest.raises(SpecError) as caught:
        read_folders(tmp_path)

    told = [
        line.removeprefix(f"{tmp_path}/").split(": ")[:2] for line in str(caught.value).split("\n")
    ]
    assert told == [
        ["a/dataset.yaml:5", "columns.0.type"],
        ["a/dataset.yaml:8", "owner"],
        ["b/dataset.yaml:5", "columns.0.name"],
        ["b/dataset.yaml:8", "owner"],
    ]


def test_two_datasets_share_no_view(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.yaml").write_text(HEAD + COLUMNS + ROWS, encoding="utf-8")

    with pytest.raises(
        SpecError, match=r"b/dataset[.]yaml: tables[.]orders: a has a table of that name"
    ):
        read_folders(tmp_path)


@pytest.mark.parametrize("name", ["Orders", "2026", "orders-eu", "select", "a__b"])
def test_folder_is_called_as_sql_takes_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "dataset.yaml").write_text(HEAD + COLUMNS + ROWS, encoding="utf-8")

    with pytest.raises(SpecError, match="the folder's name is the dataset's"):
        read_folder(tmp_path / name)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "dataset.yaml").write_bytes(b"description: caf\xe9\n")

    with pytest.raises(SpecError, match="is not UTF-8"):
        read_folder(tmp_path / "orders")
