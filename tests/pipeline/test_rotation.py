"""A database user's new password: secret and warehouse get it together, and loads go on."""

import psycopg
import pytest

from tests.deployed_pipeline import WEEK, Pipeline
from tests.operating import wait_until

pytestmark = pytest.mark.long

SECRETS = ["LoaderSecretArn", "AdminSecretArn"]
COUNT = "select coalesce(sum(flights), 0) from mart.daily_route_performance"
FLIGHTS = WEEK[0].read_bytes().count(b"\n") - 1


def is_let_in(pipeline: Pipeline, user: str, password: str) -> bool:
    try:
        pipeline.stack.warehouse.connect(user, password).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize("secret", SECRETS)
def test_new_password_lets_in_and_the_old_one_does_not(pipeline: Pipeline, secret: str) -> None:
    user, old = pipeline.stack.credentials(secret)
    held = pipeline.stack.secret(secret)
    pipeline.rotate(secret)
    same_user, new = pipeline.stack.credentials(secret)

    assert same_user == user
    assert len(new) == len(old)
    assert is_let_in(pipeline, user, new)
    assert not is_let_in(pipeline, user, old)
    assert pipeline.stack.secret(secret) == {**held, "password": new}
    assert pipeline.who_logs_in(secret) == (user, held["dbname"])


def test_loads_go_on_after_both_rotations(pipeline: Pipeline) -> None:
    for secret in SECRETS:
        pipeline.rotate(secret)
    execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))

    assert execution["status"] == "SUCCEEDED"
    assert pipeline.query(COUNT) == [(FLIGHTS,)]


@pytest.mark.parametrize("secret", SECRETS)
def test_load_that_runs_meanwhile_succeeds(pipeline: Pipeline, secret: str) -> None:
    with pipeline.connect() as connection:
        connection.execute("lock table etl.flights_lock")
        pipeline.upload("raw/flights/day.csv", WEEK[0])
        wait_until(lambda: pipeline.loads_held_up() == 1)
        pipeline.rotate(secret)
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
    pipeline.rotate("LoaderSecretArn")
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
