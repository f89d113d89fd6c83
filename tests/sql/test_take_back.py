"""Taking files and loads back: what they added goes, nothing else does, nothing else comes."""

import psycopg
import pytest

from tests.sql.loading import Answer, Loading, Version, at_once, load_of

TIMES = [f"2013-11-24T{hour}:00:00.000Z" for hour in (10, 11, 12)]


def versions_of_a_key(loading: Loading) -> list[Version]:
    """Three of them, oldest first; the last holds what the second does."""
    same = loading.dataset.file(2)
    bodies = (loading.dataset.file(1), same, same)
    return [
        loading.version(number, uploaded_at=uploaded_at, body=body)
        for number, (uploaded_at, body) in enumerate(zip(TIMES, bodies, strict=True), start=1)
    ]


@pytest.mark.parametrize("by_load", [False, True], ids=["by file", "by load"])
def test_load_then_revert_then_load_again_gives_the_same_view(
    loading: Loading, by_load: bool
) -> None:
    _, version, again = versions_of_a_key(loading)
    other = loading.version(9, name="other.csv")
    loading.load(other)
    loading.load(version)
    before = loading.view()

    reverted = loading.revert_load(version) if by_load else loading.revert_file(version)
    assert reverted == (1, len(loading.amount_to(version)))
    assert loading.view() == loading.amount_to(other)
    loading.load(again)

    assert loading.view() == before == loading.amount_to(other, version)


def test_reverted_version_that_comes_again_is_not_loaded_again(loading: Loading) -> None:
    version, other = loading.version(1), loading.version(2, name="other.csv")
    loading.load(version)
    loading.revert_file(version)

    again = loading.load(version)
    in_another_batch = loading.load(version, other)

    dates = loading.dates_of(version)
    assert again == Answer("reverted", 1, 0, 3, 0, again.aggregate_rows, "", dates, "", "", "")
    assert (in_another_batch.files_loaded, in_another_batch.files_skipped) == (1, 1)
    assert loading.view() == loading.amount_to(other)


def test_revert_of_the_version_in_force_brings_no_older_one_back(flights: Loading) -> None:
    old, new, _ = versions_of_a_key(flights)
    flights.load(old)
    flights.load(new)
    flights.revert_file(new)

    assert flights.view() == {}
    assert flights.statuses() == {old.file_id: "replaced", new.file_id: "reverted"}


def test_older_version_that_comes_after_a_revert_stays_superseded(flights: Loading) -> None:
    old, new, _ = versions_of_a_key(flights)
    flights.load(new)
    flights.revert_file(new)
    answer = flights.load(old)

    assert (answer.files_loaded, answer.files_skipped) == (0, 1)
    assert flights.view() == {}
    assert flights.statuses() == {old.file_id: "superseded", new.file_id: "reverted"}


def test_revert_of_one_version_leaves_the_others_of_its_key_under_append(
    readings: Loading,
) -> None:
    old, new, _ = versions_of_a_key(readings)
    readings.load(old, new)
    readings.revert_file(new)

    assert readings.view() == readings.amount_to(old)
    assert readings.statuses() == {old.file_id: "loaded", new.file_id: "reverted"}


@pytest.mark.parametrize("status", ["replaced", "superseded", "reverted"])
def test_version_that_does_not_count_cannot_be_reverted(flights: Loading, status: str) -> None:
    old, new, _ = versions_of_a_key(flights)
    for version in (new, old) if status == "superseded" else (old, new):
        flights.load(version)
    target = new if status == "reverted" else old
    if status == "reverted":
        flights.revert_file(new)
    before = (flights.view(), flights.statuses())
    assert before[1][target.file_id] == status

    with pytest.raises(psycopg.errors.RaiseException, match=f"its status is {status}"):
        flights.revert_file(target)
    assert flights.revert_load(target) == (0, 0)
    assert (flights.view(), flights.statuses()) == before


def test_load_of_which_a_file_was_replaced_since_is_reverted_without_it(flights: Loading) -> None:
    old, new, _ = versions_of_a_key(flights)
    other = flights.version(9, name="other.csv")
    flights.load(old, other)
    flights.load(new)

    assert flights.revert_load(old, other) == (1, len(flights.amount_to(other)))

    assert flights.view() == flights.amount_to(new)
    assert flights.statuses() == {
        old.file_id: "replaced",
        other.file_id: "reverted",
        new.file_id: "loaded",
    }
    assert dict(flights.query("select load_id, status from etl.loads")) == {
        load_of(old, other).load_id: "reverted",
        load_of(new).load_id: "loaded",
    }


def test_load_is_reverted_once_its_last_file_is(loading: Loading) -> None:
    one, two = loading.version(1, name="one.csv"), loading.version(2, name="two.csv")
    loading.load(one, two)
    status = "select status from etl.loads where dataset = %s"

    loading.revert_file(one)
    assert loading.query(status, loading.dataset.name) == [("loaded",)]
    loading.revert_file(two)
    assert loading.query(status, loading.dataset.name) == [("reverted",)]
    assert loading.view() == {}


def test_revert_and_load_at_the_same_time_take_turns(flights: Loading) -> None:
    old, new, _ = versions_of_a_key(flights)
    flights.load(old)

    def revert() -> tuple[int, int]:
        return flights.revert_load(old)

    load, reverted = at_once(lambda: flights.load(new), revert, while_held=flights)

    assert load.files_loaded == 1
    # Who came first is open; what counts afterwards is not.
    assert reverted in ((0, 0), (1, len(flights.amount_to(old))))
    assert flights.view() == flights.amount_to(new)


def test_unknown_file_and_load_are_errors_that_say_where_to_look(loading: Loading) -> None:
    unknown = loading.version(1)
    with pytest.raises(psycopg.errors.RaiseException, match=r"in etl\.loaded_files"):
        loading.revert_file(unknown)
    with pytest.raises(psycopg.errors.RaiseException, match=r"in etl\.loaded_files"):
        loading.revert_load(unknown)
