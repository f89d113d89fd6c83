"""Loads of one dataset take turns; loads of different datasets do not wait for each other."""

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

from tests.sql.loading import (
    AGGREGATES,
    WAIT_SECONDS,
    Answer,
    Connection,
    Loading,
    wait_until,
)

# The ledger's clock counts seconds: within this time it moves on once at least.
LONGER_THAN_A_TICK = 1.2


@contextmanager
def two_sessions(loading: Loading, level: IsolationLevel) -> Iterator[list[Connection]]:
    """Of the loader, in transactions that wait to be committed."""
    with (
        loading.session("LoaderSecretArn") as one,
        loading.session("LoaderSecretArn") as two,
    ):
        for connection in (one, two):
            connection.autocommit = False
            connection.isolation_level = level
        yield [one, two]


def while_it_waits(
    loading: Loading, one: Connection, two: Connection, action: Callable[[], Answer]
) -> tuple[list[tuple[Any, ...]], Callable[[], Answer]]:
    """The locks that session two waits for, and what its action gives once one has committed."""
    locks = "select locktype, relation::regclass::text from pg_locks where pid = %s and not granted"
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(action)
        try:
            wait_until(lambda: bool(loading.query(locks, two.info.backend_pid)), unless=future.done)
            awaited = loading.query(locks, two.info.backend_pid)
        finally:
            one.commit()
        future.exception(WAIT_SECONDS)
    return awaited, future.result


def test_load_waits_for_the_lock_before_it_does_anything(loading: Loading) -> None:
    first, second = loading.version(1, name="1.csv"), loading.version(2, name="2.csv")
    with two_sessions(loading, IsolationLevel.READ_COMMITTED) as (one, two):
        loading.load_in(one, first)
        awaited, answer = while_it_waits(
            loading, one, two, lambda: loading.load_in(two, first, second)
        )
        two.commit()

    # Waiting for the row of an open transaction instead would be waiting with a snapshot.
    assert awaited == [("relation", loading.lock_table)]
    assert answer().files_skipped == 1
    assert loading.view() == loading.amount_to(first, second)


def test_load_whose_snapshot_is_older_than_its_turn_ends_in_a_conflict(loading: Loading) -> None:
    # Redshift is believed to take the snapshot after LOCK; at this level PostgreSQL does before.
    first, second = loading.version(1, name="1.csv"), loading.version(2, name="2.csv")
    with two_sessions(loading, IsolationLevel.REPEATABLE_READ) as (one, two):
        loading.load_in(one, first)
        awaited, answer = while_it_waits(
            loading, one, two, lambda: loading.load_in(two, first, second)
        )
        with pytest.raises(psycopg.errors.SerializationFailure):
            answer()
        two.rollback()

    assert awaited == [("relation", loading.lock_table)]
    assert loading.view() == loading.amount_to(first)


@contextmanager
def aggregates_locked(*loadings: Loading) -> Iterator[None]:
    """Each load comes as far as its aggregates, and waits there."""
    with loadings[0].session("AdminSecretArn") as holder, holder.transaction():
        for loading in loadings:
            holder.execute(f"lock table {AGGREGATES[loading.dataset.name]}".encode())
        yield


def waiting(loading: Loading) -> int:
    """How many sessions wait for the lock of the dataset, or for its aggregates."""
    [(count,)] = loading.query(
        "select count(*) from pg_locks"
        " where not granted and relation in (%s::regclass, %s::regclass)",
        loading.lock_table,
        AGGREGATES[loading.dataset.name],
    )
    return int(count)


def spans(loading: Loading) -> list[tuple[datetime, datetime]]:
    """When each load of the dataset had the lock, by the ledger."""
    return loading.query(
        "select started_at, finished_at from etl.loads where dataset = %s order by 1, 2",
        loading.dataset.name,
    )


def test_loads_of_one_dataset_never_overlap(loading: Loading) -> None:
    versions = [loading.version(number, name=f"{number}.csv") for number in (1, 2, 3)]
    with ThreadPoolExecutor(len(versions)) as executor, aggregates_locked(loading):
        for version in versions:
            executor.submit(loading.load, version)
        wait_until(lambda: waiting(loading) == len(versions))
        time.sleep(LONGER_THAN_A_TICK)

    taken = spans(loading)
    assert len(taken) == len(versions)
    assert taken[0][0] < taken[0][1]
    for (_, finished_at), (started_at, _) in itertools.pairwise(taken):
        assert started_at >= finished_at


def test_loads_of_different_datasets_overlap(readings: Loading, flights: Loading) -> None:
    both = (readings, flights)
    with ThreadPoolExecutor(len(both)) as executor, aggregates_locked(*both):
        for loading in both:
            executor.submit(loading.load, loading.version(1))
        wait_until(lambda: all(waiting(loading) for loading in both))
        time.sleep(LONGER_THAN_A_TICK)

    [(one_started, one_finished)], [(two_started, two_finished)] = map(spans, both)
    assert max(one_started, two_started) < min(one_finished, two_finished)


def test_session_has_its_turn_waits_for_it_or_neither(loading: Loading) -> None:
    first, second = loading.version(1, name="1.csv"), loading.version(2, name="2.csv")
    with two_sessions(loading, IsolationLevel.READ_COMMITTED) as (one, two):
        assert turn(loading, one) == "unknown"
        loading.load_in(one, first)
        with ThreadPoolExecutor(1) as executor:
            future = executor.submit(loading.load_in, two, second)
            wait_until(lambda: waiting(loading) == 1, unless=future.done)
            turns = (turn(loading, one), turn(loading, two))
            one.commit()
            future.result(WAIT_SECONDS)
        assert turn(loading, two) == "has"

    assert turns == ("has", "waits")


def test_turn_of_another_dataset_is_none(readings: Loading, flights: Loading) -> None:
    with two_sessions(flights, IsolationLevel.READ_COMMITTED) as (one, _):
        flights.load_in(one, flights.version(1))

        assert turn(readings, one) == "unknown"


def turn(loading: Loading, session: Connection) -> str:
    """What the loader is told of a session of its own."""
    with loading.session("LoaderSecretArn") as asking:
        answer = asking.execute(
            "call etl.has_turn(%s, %s, '')", (session.info.backend_pid, loading.dataset.name)
        ).fetchone()
    assert answer is not None
    return str(answer[0])
