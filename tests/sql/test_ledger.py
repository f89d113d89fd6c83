"""What the ledger knows counts no further time, and answers as it did."""

from collections.abc import Iterable, Iterator
from datetime import date

import psycopg
import pytest

from local import spectrum
from tests.sql.loading import Answer, Loading, at_once, load_of


def test_batch_that_comes_again_answers_with_its_recorded_result(loading: Loading) -> None:
    versions = (
        loading.version(1, name="one.csv"),
        loading.version(2, name="two.csv", body=loading.dataset.file(2, rows=4, rejected=1)),
        loading.version(3, name="empty.csv", body=b""),
    )
    first = loading.load(*versions)

    assert loading.load(*versions) == first
    assert first[:5] == ("loaded", 3, 0, 7, 1)
    assert first.empty_file_ids == versions[2].file_id
    assert first.dates_covered == loading.dates_of(*versions)
    assert loading.view() == loading.amount_to(*versions)
    [(rejected,)] = loading.query("select count(*) from etl.rejected_rows")
    assert rejected == 1
    assert loading.query(
        "select count(*) from etl.loads where dataset = %s", loading.dataset.name
    ) == [(1,)]


def test_file_of_another_batch_is_skipped(loading: Loading) -> None:
    one, two = loading.version(1, name="one.csv"), loading.version(2, name="two.csv")
    loading.load(one)
    answer = loading.load(one, two)

    assert (answer.files_loaded, answer.files_skipped, answer.source_rows) == (1, 1, 3)
    assert loading.view() == loading.amount_to(one, two)
    assert loading.load(one, two) == answer


def test_file_in_two_batches_at_the_same_time_counts_once(loading: Loading) -> None:
    one, two, three = (loading.version(n, name=f"{n}.csv") for n in (1, 2, 3))

    answers = at_once(
        lambda: loading.load(one, two), lambda: loading.load(two, three), while_held=loading
    )

    assert sorted(answer.files_loaded for answer in answers) == [1, 2]
    assert sorted(answer.files_skipped for answer in answers) == [0, 1]
    assert loading.view() == loading.amount_to(one, two, three)
    assert loading.statuses() == dict.fromkeys(
        (version.file_id for version in (one, two, three)), "loaded"
    )


def test_attempts_at_one_load_at_the_same_time_have_one_answer(loading: Loading) -> None:
    one = loading.version(1)

    first, second = at_once(
        lambda: loading.load(one), lambda: loading.load(one), while_held=loading
    )

    expected = Answer(
        "loaded", 1, 0, 3, 0, len(loading.view()), "", loading.dates_of(one), "", "", ""
    )
    assert first == second == expected
    assert loading.view() == loading.amount_to(one)


def test_file_that_is_given_twice_counts_once(loading: Loading) -> None:
    told = loading.version(1, sequencer="0055")
    load = load_of(told)
    listed = {**told.file.manifest_entry(), "sequencer": ""}
    entries = [listed, told.file.manifest_entry(), listed]

    answer = loading.call(loading.staged(load, [told]), load.load_id, entries)

    assert answer[:4] == ("loaded", 1, 0, 3)
    assert loading.view() == loading.amount_to(told)
    # What S3's own event says of it goes before what a listing says.
    assert loading.query("select sequencer from etl.loaded_files") == [("0055",)]


@pytest.mark.parametrize("others", [(2,), (1, 2), ()], ids=["another", "one more", "none"])
def test_load_that_is_in_the_ledger_takes_no_other_files(
    loading: Loading, others: tuple[int, ...]
) -> None:
    one = loading.version(1)
    loading.load(one)
    load_id = load_of(one).load_id
    versions = [loading.version(n, name=f"{n}.csv") if n > 1 else one for n in others]
    before = (loading.view(), loading.statuses())

    with pytest.raises(psycopg.errors.RaiseException, match=f"^load {load_id}: .* other files"):
        loading.call(
            loading.staged(load_of(one), versions),
            load_id,
            [version.file.manifest_entry() for version in versions],
        )

    assert (loading.view(), loading.statuses()) == before


def test_version_that_is_gone_is_lost_unless_the_ledger_has_it(loading: Loading) -> None:
    one, two = loading.version(1, name="one.csv"), loading.version(2, name="two.csv")
    loading.load(one)
    gone = [{**version.file.manifest_entry(), "is_gone": True} for version in (one, two)]
    load = load_of(one, two)

    with pytest.raises(psycopg.errors.RaiseException, match=r"two\.csv.*never loaded"):
        loading.call(loading.staged(load, []), load.load_id, gone)

    answer = loading.call(
        loading.staged(load, [two]), load.load_id, [gone[0], two.file.manifest_entry()]
    )
    assert (answer.files_loaded, answer.files_skipped) == (1, 1)
    assert loading.view() == loading.amount_to(one, two)


def test_dates_covered_are_those_of_the_rows_that_count(loading: Loading) -> None:
    one = loading.version(1, body=loading.dataset.file(1, rows=1))
    nothing = loading.version(2, body=b"")
    several = loading.version(3, body=loading.dataset.file(3, rows=9, rejected=3))

    assert loading.load(one).dates_covered == loading.dates_of(one)
    assert loading.load(nothing).dates_covered == ""
    assert loading.load(several).dates_covered == loading.dates_of(several)
    assert " to " in loading.dates_of(several)


def test_backslash_is_data(readings: Loading) -> None:
    version = readings.version(1, body=b"station,day,reading\na\\b,2024-01-01,7\n")

    readings.load(version)

    assert readings.view() == {("a\\b", date(2024, 1, 1)): (1, 7)}


def test_carriage_return_at_a_lines_end_is_no_part_of_the_last_column(
    loading: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines_that_end_in_lf(chunks: Iterable[bytes], _skip: int = 0) -> Iterator[bytes]:
        # Nobody could say whether Spectrum takes the CR of a CRLF away, as Hadoop's reader does.
        yield b"".join(chunks)

    monkeypatch.setattr(spectrum, "line_blocks", lines_that_end_in_lf)
    version = loading.version(1)
    windows = loading.version(1, body=version.body.replace(b"\n", b"\r\n"))

    loading.load(windows)

    assert loading.view() == loading.amount_to(version)
