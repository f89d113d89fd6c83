"""A file with another header is refused, in words that hold nothing of its rows."""

from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datasets import bare

JUDGE = Path(__file__).parents[2] / "sql/procedures/judge_files.sql"
HEADER = ["id", "ordered_at", "country", "amount", "note"]
# No letter of it is in a name of the header or in a word of the refusal.
SECRET = "\u0416\u0448\u0429"
cells = st.text(SECRET, min_size=1, max_size=80)
rows = st.lists(st.lists(cells, min_size=1, max_size=8), min_size=1, max_size=4)


@st.composite
def other_headers(draw: st.DrawFn) -> list[str]:
    """The header with names lost, renamed, added, moved, or written in other letters."""
    names: list[str] = draw(st.permutations(HEADER))
    names = names[: draw(st.integers(0, len(names)))]
    for place in draw(st.sets(st.integers(0, len(HEADER) - 1), max_size=3)):
        if place < len(names):
            names[place] = draw(st.sampled_from([names[place].upper(), draw(cells), ""]))
    return names + draw(st.lists(cells, max_size=3))


@pytest.fixture(scope="module")
def judge(connection: psycopg.Connection) -> psycopg.Connection:
    bare.run(connection, JUDGE.read_text(encoding="utf-8"))
    bare.run(
        connection,
        "create temp table load_files (file_id varchar(32), object_key varchar(1024),"
        " size_bytes bigint, status varchar(16));"
        "insert into load_files values ('1', 'raw/orders/a.csv', 100, 'loaded');"
        "create temp table load_rows (file_id varchar(32), line varchar(65535),"
        " kind varchar(16), reject_reason varchar(1024))",
    )
    return connection


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(header=other_headers(), rows=rows)
def test_refusal_tells_nothing_of_the_rows(
    judge: psycopg.Connection, header: list[str], rows: list[list[str]]
) -> None:
    judge.execute("delete from load_rows")
    with judge.cursor() as cursor:
        cursor.executemany(
            "insert into load_rows values ('1', %s, 'row', 'too few fields, not 5')",
            [(",".join(row),) for row in [header, *rows]],
        )
    with pytest.raises(psycopg.Error) as refusal:
        judge.execute("call etl.judge_files(%s, 0)", (",".join(HEADER),))

    told = str(refusal.value.diag.message_primary)
    assert 'expected one header row "id,ordered_at,country,amount,note", found 0; ' in told
    assert not set(SECRET + SECRET.lower()) & set(told)
    assert len(told) < 400
