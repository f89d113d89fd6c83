"""Which versions of a key count: in whatever order and batches they come."""

from collections.abc import Iterator, Sequence
from itertools import permutations

import psycopg
import pytest

from tests.sql.loading import Loading, Version, load_of

SEQUENCER = "0055AED6DCD90281E5"
# Ways to cut three arrivals into loads.
BATCHINGS = [(3,), (2, 1), (1, 2), (1, 1, 1)]
ORDERS = list(permutations(range(3)))


def three_versions(loading: Loading) -> list[Version]:
    """Oldest first: the second decides, and within a second the sequencer, if there is one."""
    return [
        loading.version(1, uploaded_at="2013-11-24T10:00:00.900Z", sequencer="FF"),
        loading.version(2, uploaded_at="2013-11-24T10:00:01.900Z"),
        loading.version(3, uploaded_at="2013-11-24T10:00:01.100Z", sequencer=SEQUENCER),
    ]


def batches(versions: Sequence[Version], sizes: Sequence[int]) -> Iterator[Sequence[Version]]:
    start = 0
    for size in sizes:
        yield versions[start : start + size]
        start += size


def newest(versions: Sequence[Version]) -> Version:
    """The version in force, by a computation that knows nothing of SQL."""
    return max(
        versions,
        key=lambda version: (
            version.file.uploaded_at[:19],
            version.file.sequencer.ljust(64, "0"),
            version.file_id,
        ),
    )


@pytest.mark.parametrize("sizes", BATCHINGS, ids=str)
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_each_version_of_a_key_adds_under_append(
    readings: Loading, order: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    versions = three_versions(readings)
    known: list[Version] = []
    for batch in batches([versions[place] for place in order], sizes):
        readings.load(*batch)
        known += batch
        assert readings.view() == readings.amount_to(*known)

    assert readings.statuses() == {version.file_id: "loaded" for version in versions}


@pytest.mark.parametrize("sizes", BATCHINGS, ids=str)
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_newest_known_version_of_a_key_counts_under_replace(
    flights: Loading, order: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    versions = three_versions(flights)
    assert newest(versions) == versions[-1]
    known: list[Version] = []
    for batch in batches([versions[place] for place in order], sizes):
        flights.load(*batch)
        known += batch
        assert flights.view() == flights.amount_to(newest(known))

    statuses = flights.statuses()
    assert statuses.pop(versions[-1].file_id) == "loaded"
    assert set(statuses) == {version.file_id for version in versions[:-1]}
    assert set(statuses.values()) <= {"replaced", "superseded"}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        pytest.param("4FF", "5", id="shorter one is newer"),
        pytest.param(SEQUENCER, SEQUENCER + "1", id="longer one is newer"),
        pytest.param(SEQUENCER, "0055AED6DCD90281E6", id="of one length"),
        pytest.param("", "0000001", id="older has none"),
    ],
)
@pytest.mark.parametrize("is_older_first", [True, False], ids=["in order", "late"])
def test_sequencers_of_a_second_compare_from_their_left(
    flights: Loading, older: str, newer: str, is_older_first: bool
) -> None:
    old, new = flights.version(1, sequencer=older), flights.version(2, sequencer=newer)
    for version in (old, new) if is_older_first else (new, old):
        flights.load(version)

    assert flights.view() == flights.amount_to(new)
    late = "replaced" if is_older_first else "superseded"
    assert flights.statuses() == {old.file_id: late, new.file_id: "loaded"}


def test_second_of_the_upload_goes_before_the_sequencer(flights: Loading) -> None:
    old = flights.version(1, uploaded_at="2013-11-24T09:59:59.999Z", sequencer="FF")
    new = flights.version(2, uploaded_at="2013-11-24T10:00:00.000Z", sequencer="00")
    flights.load(new)
    flights.load(old)

    assert flights.view() == flights.amount_to(new)


def test_fractions_of_a_second_decide_nothing(flights: Loading) -> None:
    # A listing knows whole seconds: by its fraction the notified version would be the newer.
    new = flights.version(1, uploaded_at="2013-11-24T10:00:00.000Z", sequencer="02")
    old = flights.version(2, uploaded_at="2013-11-24T10:00:00.999Z", sequencer="01")
    flights.load(new)
    flights.load(old)

    assert flights.view() == flights.amount_to(new)


@pytest.mark.parametrize("is_greater_first", [True, False])
@pytest.mark.parametrize("sequencers", [("", ""), ("55", "5500"), ("5500", "55")], ids=str)
def test_file_id_decides_where_nothing_else_does(
    flights: Loading, sequencers: tuple[str, str], is_greater_first: bool
) -> None:
    # Sequencers are of one length once the shorter one has zeros at its right.
    versions = [flights.version(n, sequencer=text) for n, text in enumerate(sequencers, start=1)]
    versions.sort(key=lambda version: version.file_id)
    for version in reversed(versions) if is_greater_first else versions:
        flights.load(version)

    assert flights.view() == flights.amount_to(versions[-1])


@pytest.mark.parametrize("names", [("a.csv", "a.csv "), ("a.csv ", "a.csv")], ids=repr)
def test_keys_that_differ_in_trailing_blanks_are_two_files(
    flights: Loading, names: tuple[str, str]
) -> None:
    one = flights.version(1, name=names[0], uploaded_at="2013-11-24T10:00:00.000Z")
    two = flights.version(2, name=names[1], uploaded_at="2013-11-24T11:00:00.000Z")
    three = flights.version(3, name=names[0], uploaded_at="2013-11-24T12:00:00.000Z")
    flights.load(one)
    flights.load(two)
    assert flights.view() == flights.amount_to(one, two)

    flights.load(three)

    assert flights.view() == flights.amount_to(two, three)


def test_keys_that_differ_in_trailing_blanks_are_two_files_of_one_batch(flights: Loading) -> None:
    versions = [flights.version(1, name="a.csv"), flights.version(2, name="a.csv  ")]

    flights.load(*versions)

    assert flights.view() == flights.amount_to(*versions)


def test_versions_of_other_keys_are_left_alone(loading: Loading) -> None:
    one = loading.version(1, name="one.csv", uploaded_at="2013-11-24T10:00:00.000Z")
    two = loading.version(2, name="two.csv", uploaded_at="2013-11-24T11:00:00.000Z")
    loading.load(one)
    loading.load(two)

    assert loading.view() == loading.amount_to(one, two)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["stub first", "file first"])
def test_gateways_stub_beside_its_file_is_no_empty_file(
    flights: Loading, order: tuple[int, int]
) -> None:
    """SFTP gateways put an empty object under the final key, and then the file."""
    stub = flights.version(1, uploaded_at="2013-11-24T10:00:00.100Z", sequencer="F0", body=b"")
    file = flights.version(2, uploaded_at="2013-11-24T10:00:00.900Z", sequencer="F1")

    answer = flights.load(*[(stub, file)[place] for place in order])

    assert (answer.files_loaded, answer.files_skipped, answer.empty_file_ids) == (1, 1, "")
    assert flights.view() == flights.amount_to(file)


@pytest.mark.parametrize(
    "crafted",
    [
        pytest.param({"key": "raw/weather/a.csv"}, id="another dataset's key"),
        pytest.param({"key": "archive/flights/a.csv"}, id="another folder's key"),
        pytest.param({"file_id": "1"}, id="no file_id"),
        pytest.param({"size": -1}, id="no size"),
        pytest.param({"uploaded_at": "2999-01-01T00:00:00.000Z"}, id="a time to come"),
    ],
)
def test_crafted_manifest_is_refused(flights: Loading, crafted: dict[str, object]) -> None:
    version = flights.version(1)
    load = load_of(version)
    entries = [{**version.file.manifest_entry(), **crafted}]

    with (
        flights.session() as connection,
        pytest.raises(
            psycopg.errors.RaiseException, match="1 entries of the manifest are no files"
        ),
    ):
        flights.call_in(connection, flights.staged(load, [version]), load.load_id, entries)
    flights.load(version)
    assert flights.statuses() == {version.file_id: "loaded"}


def test_same_content_under_two_keys_is_told_and_counts_twice(flights: Loading) -> None:
    body = flights.dataset.file(1)
    first, second, third = (
        flights.version(number, name=f"{number}.csv", body=body) for number in (1, 2, 3)
    )
    other = flights.version(4, name="other.csv")

    together = flights.load(first, second, other)
    later = flights.load(third)

    assert dict(line.split(" ", 1) for line in together.same_files.splitlines()) == {
        first.file_id: second.file.key,
        second.file_id: first.file.key,
    }
    assert later.same_files == f"{third.file_id} {first.file.key}"
    assert later.files_loaded == 1
    assert flights.load(third) == later


def test_same_content_is_told_for_a_day_and_of_no_other_version_of_the_key(
    flights: Loading,
) -> None:
    body = flights.dataset.file(1)
    first = flights.version(1, body=body)
    again = flights.version(2, body=body, uploaded_at="2026-11-24T11:00:00.000Z")
    later = flights.version(3, name="later.csv", body=body)
    header_only = [
        flights.version(number, name=f"{number}.csv", body=flights.dataset.file(9, rows=0))
        for number in (4, 5)
    ]

    flights.load(first)
    assert flights.load(again).same_files == ""
    assert flights.load(*header_only).same_files == ""

    with flights.session("AdminSecretArn") as connection:
        connection.execute(
            "update etl.loaded_files set loaded_at = loaded_at - interval '25 hours'"
        )
    assert flights.load(later).same_files == ""
