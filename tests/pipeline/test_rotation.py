"""A database user's new password: secret and warehouse get it together, and loads go on."""

import time
from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest
from botocore.exceptions import ClientError

from tests.deployed_pipeline import WEEK, Pipeline

pytestmark = pytest.mark.long

SECRETS = ["LoaderSecretArn", "AdminSecretArn"]
COUNT = "select coalesce(sum(flights), 0) from mart.daily_route_performance"
FLIGHTS = WEEK[0].read_bytes().count(b"\n") - 1
WAITING = """
    select count(*) from pg_stat_activity
    where usename = 'etl_loader' and wait_event_type = 'Lock'
"""
WAIT_SECONDS = 20.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def rotate(pipeline: Pipeline, secret: str) -> None:
    """Run the command that operators do, and wait until it has taken effect."""
    arn = pipeline.stack.outputs[secret]
    old = pipeline.stack.credentials(secret)
    # Told that an earlier rotation is still to be finished: that one is taken up again.
    with suppress(ClientError):
        pipeline.stack.secrets.rotate_secret(SecretId=arn)
    wait_until(lambda: pipeline.stack.credentials(secret) != old)


def is_let_in(pipeline: Pipeline, user: str, password: str) -> bool:
    try:
        pipeline.stack.warehouse.connect(user, password).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize("secret", SECRETS)
def test_new_password_lets_in_and_the_old_one_does_not(pipeline: Pipeline, secret: str) -> None:
    user, old = pipeline.stack.credentials(secret)
    rotate(pipeline, secret)
    same_user, new = pipeline.stack.credentials(secret)

    assert same_user == user
    assert len(new) == len(old)
    assert is_let_in(pipeline, user, new)
    assert not is_let_in(pipeline, user, old)


def test_loads_go_on_after_both_rotations(pipeline: Pipeline) -> None:
    for secret in SECRETS:
        rotate(pipeline, secret)
    execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))

    assert execution["status"] == "SUCCEEDED"
    assert pipeline.query(COUNT) == [(FLIGHTS,)]


@pytest.mark.parametrize("secret", SECRETS)
def test_load_that_runs_meanwhile_succeeds(pipeline: Pipeline, secret: str) -> None:
    with pipeline.connect() as connection:
        connection.execute("lock table etl.flights_lock")
        pipeline.upload("raw/flights/day.csv", WEEK[0])
        wait_until(lambda: pipeline.query(WAITING) == [(1,)])
        rotate(pipeline, secret)
    [execution] = pipeline.next_loads()

    assert execution["status"] == "SUCCEEDED"
    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert pipeline.mails("Support") == []


def test_load_that_is_refused_its_login_meanwhile_is_tried_again(pipeline: Pipeline) -> None:
    user, _ = pipeline.stack.credentials("LoaderSecretArn")
    with pipeline.connect() as connection:
        # As between the two halves of a rotation: the warehouse knows a password, the secret not.
        connection.execute(f"alter user {user} password 'md5{'0' * 32}'".encode())
    pipeline.upload("raw/flights/day.csv", WEEK[0])
    wait_until(lambda: bool(refused(pipeline)))
    rotate(pipeline, "LoaderSecretArn")
    [execution] = pipeline.next_loads()

    assert execution["status"] == "SUCCEEDED"
    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert pipeline.mails("Support") == []


def refused(pipeline: Pipeline) -> list[str]:
    """The states of running loads that look at a refusal."""
    return [
        event["stateEnteredEventDetails"]["name"]
        for execution in pipeline.stack.executions()
        if execution["status"] == "RUNNING"
        for event in pipeline.stack.step_functions.get_execution_history(
            executionArn=execution["executionArn"], maxResults=1000
        )["events"]
        if event.get("stateEnteredEventDetails", {}).get("name") == "WaitToRetry"
    ]
