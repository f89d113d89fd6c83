"""Headers: the names of columns, their aliases, and those that earlier files had."""

import psycopg
import pytest

from tests.sql.loading import Loading

NOW = "id,word,note,added"
EARLIER = "id,word,note"


def rows_of(cells: Loading, *bodies: str) -> list[tuple[object, ...]]:
    """What these files come to in one load: rows that count."""
    cells.load(
        *(
            cells.version(number, name=f"{number}.csv", body=body.encode())
            for number, body in enumerate(bodies)
        )
    )
    return cells.query("select id, word, note, added from mart.cells order by id")


def reasons(cells: Loading) -> list[str]:
    return [reason for (reason,) in cells.query("select reason from etl.rejected_rows order by 1")]


@pytest.mark.parametrize("word", ["word", "Word", "term", '"term"', " Word "])
def test_column_has_further_names(cells: Loading, word: str) -> None:
    assert rows_of(cells, f"id,{word},note,added\n1,a,b,c\n") == [(1, "a", "b", "c")]


def test_earlier_files_load_beside_present_ones(cells: Loading) -> None:
    found = rows_of(cells, f"{EARLIER}\n1,a,b\n", f"{NOW}\n2,a,b,c\n", "id,term,note\r\n3,d,e\r\n")

    assert found == [(1, "a", "b", None), (2, "a", "b", "c"), (3, "d", "e", None)]
    assert reasons(cells) == []


def test_rows_of_an_earlier_file_have_its_fields(cells: Loading) -> None:
    body = f"{EARLIER}\n1,a,b\n2,a\n3,a,b,c\n4,a,b,\n5,a,b,c,d\n\n"

    assert rows_of(cells, body) == [(1, "a", "b", None)]
    assert reasons(cells) == ["too few fields, not 3"] + ["too many fields, not 3"] * 3


def test_rows_of_a_present_file_have_its_fields(cells: Loading) -> None:
    assert rows_of(cells, f"{NOW}\n1,a,b,c\n2,a,b\n3,a,b,c,d\n") == [(1, "a", "b", "c")]
    assert reasons(cells) == ["too few fields, not 4", "too many fields, not 4"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("id,word\n1,a\n", "expected one header row"),
        ("id,note,word\n1,a,b\n", "expected one header row"),
        (f"{NOW},more\n1,a,b,c,d\n", 'column "more" of the header is not declared'),
        (f"{EARLIER}\n1,a,b\n{NOW}\n2,a,b,c\n", "too many fields, not 3"),
        (f"{EARLIER}\n{EARLIER}\n1,a,b\n", "found 2"),
    ],
)
def test_other_header_is_refused(cells: Loading, body: str, reason: str) -> None:
    with pytest.raises(psycopg.Error, match=reason):
        rows_of(cells, body)
