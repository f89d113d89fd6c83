"""What `RotateSecretFunction` decides: the next password, and how the warehouse learns of it.

Pure, no AWS.
"""

import json
import re
import secrets
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from apply_sql.core import password_hash

PASSWORD_LENGTH = 48
# Redshift asks for one of each at least.
PASSWORD_CHARACTERS = (string.ascii_lowercase, string.ascii_uppercase, string.digits)

LOGIN_REFUSED = "authentication failed"

_USER_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class RequestError(ValueError):
    """An event that is not one of a rotation, or of a secret that is not rotated here."""


class SecretError(ValueError):
    """A secret without a user name and a password. The text leaves out what it holds."""


class Step(StrEnum):
    """The steps of a rotation, as Secrets Manager calls them, in order."""

    CREATE = "createSecret"
    SET = "setSecret"
    TEST = "testSecret"
    FINISH = "finishSecret"


@dataclass(frozen=True)
class Rotation:
    """One step of a rotation: the secret's ARN, and the version that is to become current."""

    step: Step
    secret_arn: str
    version_id: str


def read_event(event: Mapping[str, object], rotated: Collection[str]) -> Rotation:
    """`rotated` has the ARNs of the secrets that may be named. Raises RequestError."""
    try:
        rotation = Rotation(
            Step(str(event["Step"])), str(event["SecretId"]), str(event["ClientRequestToken"])
        )
    except (KeyError, ValueError):
        raise RequestError("the event is not a step of a rotation") from None
    if rotation.secret_arn not in rotated:
        raise RequestError("the event is about a secret that is not rotated here")
    return rotation


def with_new_password(secret: str) -> str:
    """The secret again, with another password."""
    return json.dumps({**_login(secret), "password": new_password()})


def new_password() -> str:
    """Letters and digits: nothing that a connection string or a shell would have to quote."""
    while True:
        password = "".join(
            secrets.choice("".join(PASSWORD_CHARACTERS)) for _ in range(PASSWORD_LENGTH)
        )
        if all(set(password) & set(characters) for characters in PASSWORD_CHARACTERS):
            return password


def alter_user(secret: str) -> str:
    """The statement that makes the secret's password the user's. Raises SecretError.

    ALTER USER takes no parameters; what goes into its text is a plain name and hex digits.
    """
    login = _login(secret)
    user = login["username"]
    if not _USER_NAME.fullmatch(user):
        raise SecretError("the user's name is not a plain one")
    return f"alter user {user} password '{password_hash(user, login['password'])}'"


def _login(secret: str) -> dict[str, str]:
    try:
        login = json.loads(secret)
        if isinstance(login["username"], str) and isinstance(login["password"], str):
            return dict(login)
    except (ValueError, KeyError, TypeError):
        pass
    # Without the cause, whose text might hold a part of the secret.
    raise SecretError("the secret is not JSON with username and password")
