"""Measures over the greatest and the least that their columns hold: views never break."""

from decimal import Decimal

import pytest

from tests.sql.loading import Loading

WHOLE = 10**18 - 1
PART = Decimal(10**26 - 1) / 100
REAL = 1e99
ROWS_OF_A_FILE = 20


def test_views_hold_the_extremes_of_every_measure(extremes: Loading) -> None:
    row = f"{{}},{{sign}}{WHOLE},{{sign}}{PART},{{sign}}{REAL}\n"
    body = "name,whole,part,real\n" + "".join(
        row.format(name, sign=sign) * ROWS_OF_A_FILE for name, sign in (("high", ""), ("low", "-"))
    )

    versions = [extremes.version(n, name=f"{n}.csv", body=body.encode()) for n in range(2)]
    answer = extremes.load(*versions)

    assert answer.rejected_rows == 0
    count = 2 * ROWS_OF_A_FILE
    total, part, real = WHOLE * count, PART * count, pytest.approx(REAL * count)
    assert extremes.query(
        "select name, seen, negative, whole_sum, part_sum, real_sum from mart.extremes order by 1"
    ) == [
        ("high", count, 0, total, part, real),
        ("low", count, count, -total, -part, pytest.approx(-REAL * count)),
    ]
    for name, low, high in (("whole", -WHOLE, WHOLE), ("part", -PART, PART), ("real", -REAL, REAL)):
        assert extremes.query(f"select min({name}_min), max({name}_max) from mart.extremes") == [
            (low, high)
        ]


def test_what_no_type_holds_is_rejected(extremes: Loading) -> None:
    rows = ["good,1,1,1", f"a,{WHOLE + 1},1,1", f"b,1,{PART + 1},1", "c,1,1,11e99", "d,1,1,1e999"]
    body = "name,whole,part,real\n" + "".join(f"{row}\n" for row in rows)

    extremes.load(extremes.version(1, body=body.encode()))

    assert extremes.query("select name from mart.extremes") == [("good",)]
    assert extremes.query("select reason, value from etl.rejected_rows order by 1") == [
        ("part: not a number of 24 digits and 2 decimals at most", str(PART + 1)),
        ("real: not a number", "1e999"),
        ("real: outside -1e+100 to 1e+100", "11e99"),
        ("whole: not a whole number", str(WHOLE + 1)),
    ]
