import json
import string

import pytest
from rotate_secret import core

SECRET = json.dumps({"username": "etl_loader", "password": "old", "port": 5439, "note": "kept"})


def test_event_is_a_step() -> None:
    event = {"Step": "finishSecret", "SecretId": "arn", "ClientRequestToken": "v2"}

    assert core.read_event(event, {"arn"}) == core.Rotation(core.Step.FINISH, "arn", "v2")


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Step": "dropSecret", "SecretId": "arn", "ClientRequestToken": "v2"},
        {"Step": "createSecret", "ClientRequestToken": "v2"},
        {"Step": "createSecret", "SecretId": "arn"},
        {"Step": "createSecret", "SecretId": "a neighbour's", "ClientRequestToken": "v2"},
    ],
    ids=["empty", "unknown step", "no secret", "no version", "another secret"],
)
def test_other_events_are_refused(event: dict[str, object]) -> None:
    with pytest.raises(core.RequestError):
        core.read_event(event, {"arn"})


def test_nothing_but_the_password_changes() -> None:
    old, new = json.loads(SECRET), json.loads(core.with_new_password(SECRET))

    assert new.pop("password") != old.pop("password")
    assert new == old


def test_passwords_are_of_the_kind_that_redshift_takes() -> None:
    passwords = {core.new_password() for _ in range(300)}

    assert len(passwords) == 300
    for password in passwords:
        assert len(password) == core.PASSWORD_LENGTH <= 64
        assert set(password) <= set(string.ascii_letters + string.digits)
        assert any(map(str.isupper, password))
        assert any(map(str.islower, password))
        assert any(map(str.isdigit, password))


def test_statement_holds_a_verifier_and_no_password() -> None:
    # md5 of "secretetl_loader"
    assert core.alter_user('{"username": "etl_loader", "password": "secret"}') == (
        "alter user etl_loader password 'md5be96d59a30697415b1bd5d20c8d82c2f'"
    )


@pytest.mark.parametrize(
    "secret",
    [
        "no JSON",
        "[]",
        "null",
        '{"username": "etl_loader"}',
        '{"username": "etl_loader", "password": 1}',
        '{"username": "x; drop table etl.loads", "password": "hidden"}',
        '{"username": "\\"x\\"", "password": "hidden"}',
        '{"username": "", "password": "hidden"}',
        '{"username": "x\\n", "password": "hidden"}',
    ],
)
def test_other_secrets_are_refused_and_not_told(secret: str) -> None:
    with pytest.raises(core.SecretError) as caught:
        core.alter_user(secret)

    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None
