"""What a load does not do: write where there is nothing to write."""

import pytest

from tests.sql.loading import Loading, Version, load_of

# What holds these tables' rows, or their structure, for one transaction alone.
WRITTEN = """
    select relation::regclass::text from pg_locks
    where pid = pg_backend_pid() and relation is not null
    and mode in ('RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
        'AccessExclusiveLock', 'ShareUpdateExclusiveLock')
    and relation::regclass::text ~ '^(etl|mart|lake)[.]'
"""
LEDGER = {"etl.loads", "etl.loaded_files"}


def written(loading: Loading, *versions: Version) -> set[str]:
    """The tables that the load of these versions takes a lock on that writers wait for."""
    load = load_of(*versions)
    run_id = loading.staged(load, versions)
    entries = [file.manifest_entry() for file in load.files]
    with loading.session("AdminSecretArn") as connection, connection.transaction():
        loading.call_in(connection, run_id, load.load_id, entries)
        rows = connection.execute(WRITTEN.encode()).fetchall()
    return {name for (name,) in rows}


@pytest.fixture
def aggregates(loading: Loading) -> str:
    return loading.dataset.aggregates


def test_load_writes_what_it_adds_to_and_nothing_else(loading: Loading, aggregates: str) -> None:
    tables = written(loading, loading.version(1))

    assert tables == {loading.lock_table, aggregates, *LEDGER}


def test_load_with_rejected_rows_writes_them_too(loading: Loading, aggregates: str) -> None:
    body = loading.dataset.file(1, rows=3, rejected=1)

    tables = written(loading, loading.version(1, body=body))

    assert tables == {loading.lock_table, aggregates, "etl.rejected_rows", *LEDGER}


def test_load_of_what_is_in_the_ledger_records_itself_alone(loading: Loading) -> None:
    one, two = loading.version(1, name="one.csv"), loading.version(2, name="two.csv")
    loading.load(one)
    loading.load(two)

    assert written(loading, one, two) == {loading.lock_table, "etl.loads"}


def test_load_that_comes_again_writes_nothing(loading: Loading) -> None:
    version = loading.version(1)
    loading.load(version)

    assert written(loading, version) == {loading.lock_table}


def test_superseded_file_leaves_the_aggregates_alone(flights: Loading) -> None:
    flights.load(flights.version(2, uploaded_at="2013-11-24T11:00:00.000Z"))
    late = flights.version(1, uploaded_at="2013-11-24T10:00:00.000Z")

    assert written(flights, late) == {flights.lock_table, *LEDGER}
