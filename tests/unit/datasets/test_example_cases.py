"""How an example case is read, and what is shown where it does not hold."""

from pathlib import Path

from tests.datasets import examples

EXPECTED = {"days.csv": "day,n\n2026-11-24,2\n2026-11-25,1\n"}


def test_order_of_rows_and_needless_quotes_do_not_count() -> None:
    found = {"days.csv": '"day","n"\n2026-11-25,"1"\n2026-11-24,2\n'}

    assert examples.difference(EXPECTED, found) == ""


def test_other_value_shows_as_a_difference_of_lines() -> None:
    found = {"days.csv": "day,n\n2026-11-24,3\n2026-11-25,1\n"}

    assert examples.difference(EXPECTED, found) == (
        "--- days.csv\n+++ days.csv, found\n@@ -1,3 +1,3 @@\n"
        " day,n\n-2026-11-24,2\n+2026-11-24,3\n 2026-11-25,1\n"
    )


def test_missing_file_stands_for_no_rows() -> None:
    rejected = {"rejected.csv": "file,line,reason,value\na.csv,x,y,z\n"}

    assert "+a.csv,x,y,z" in examples.difference(EXPECTED, EXPECTED | rejected)
    assert "-a.csv,x,y,z" in examples.difference(EXPECTED | rejected, EXPECTED)


def test_files_come_in_by_their_paths(tmp_path: Path) -> None:
    folder = tmp_path / "orders/examples/twice/in"
    for name in ("2/a.csv", "1/a.csv"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name, encoding="utf-8")

    [case] = examples.cases(tmp_path)

    assert case.name == "orders/twice"
    assert case.files() == {"1/a.csv": b"1/a.csv", "2/a.csv": b"2/a.csv"}
