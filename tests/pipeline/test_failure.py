"""A load that fails tells support what to do, leaves the raw file, and counts nothing."""

import gzip

import pytest

from tests.pipeline.conftest import WEEK, Pipeline

DAY = WEEK[0].read_bytes()
HEADER, _, ROWS = DAY.partition(b"\n")


def reordered(names: bytes) -> bytes:
    first, second, *rest = names.split(b",")
    return b",".join([second, first, *rest])


@pytest.mark.parametrize(
    ("key", "body", "reason"),
    [
        pytest.param(
            "raw/unheard_of/day.csv", DAY, "Glue.EntityNotFoundException", id="unknown dataset"
        ),
        pytest.param(
            "raw/Not a name; %/day.csv", DAY, "Glue.", id="unknown dataset with a hostile name"
        ),
        pytest.param(
            "raw/flights/wrong.csv",
            b"a,b,c\n1,2,3\n",
            'found 0; one of its rows is "a,b,c',
            id="wrong header",
        ),
        pytest.param(
            "raw/flights/reordered.csv",
            reordered(HEADER) + b"\n" + ROWS,
            'one of its rows is "month,year',
            id="reordered header",
        ),
        pytest.param("raw/flights/headless.csv", ROWS, "expected one header row", id="no header"),
        pytest.param("raw/flights/twice.csv", DAY + DAY, "found 2", id="two headers"),
        pytest.param(
            "raw/flights/narrow.csv",
            b"".join(b",".join(line.split(b",")[:12]) + b"\n" for line in DAY.splitlines()),
            "expected one header row",
            id="too few columns",
        ),
        pytest.param(
            "raw/flights/short.csv",
            HEADER + b"\n2013,1,1\n2013,1,2\n",
            'none of its rows can be read, for example "fewer than 19 columns"',
            id="too few columns below the header",
        ),
        pytest.param(
            "raw/flights/broken.csv.gz",
            gzip.compress(DAY)[:-200],
            "S3 Query Exception",
            id="corrupt gzip",
        ),
        pytest.param("raw/flights/plain.csv.gz", DAY, "S3 Query Exception", id="gzip in name only"),
    ],
)
def test_bad_file_fails_the_load_and_nothing_is_lost(
    pipeline: Pipeline, key: str, body: bytes, reason: str
) -> None:
    execution = pipeline.load((key, body))

    assert execution["status"] == "FAILED"
    [mail] = pipeline.mails("Support")
    assert mail.subject.isascii()
    assert len(mail.subject) <= 100
    assert f"Dataset: {key.split('/')[1]}" in mail.message
    assert key in mail.message
    assert reason in mail.message
    assert "Next step: " in mail.message
    assert f"--name {execution['name']}-2 " in mail.message
    assert pipeline.mails("Business") == []
    assert pipeline.keys("Raw", "raw/") == [key]
    assert pipeline.keys("Archive") == []
    assert pipeline.query("select count(*) from etl.loads") == [(0,)]
    assert pipeline.query("select count(*) from etl.loaded_files") == [(0,)]
    assert pipeline.query("select count(*) from mart.daily_route_performance_by_file") == [(0,)]


def test_file_at_fault_is_named_among_others(pipeline: Pipeline) -> None:
    execution = pipeline.load(("raw/flights/a.csv", DAY), ("raw/flights/b.csv", b"no\nheader\n"))

    assert execution["status"] == "FAILED"
    [mail] = pipeline.mails("Support")
    assert "File at fault:\n  raw/flights/b.csv\n" in mail.message
    assert sorted(pipeline.keys("Raw", "raw/")) == ["raw/flights/a.csv", "raw/flights/b.csv"]
