"""The steps of a rotation against a secret and a warehouse that keep to each other's rules.

What the laptop cloud cannot bring about stands here: attempts that break off half-way.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from apply_sql import data_api
from apply_sql.core import password_hash
from apply_sql.data_api import StatementFailedError
from rotate_secret import handler

EVENTS = Path(__file__).parents[3] / "events" / "rotate_secret"
LOADER = json.loads((EVENTS / "create.json").read_text())["SecretId"]
ADMIN = LOADER.replace("loader", "admin")
VERSION = json.loads((EVENTS / "create.json").read_text())["ClientRequestToken"]
USERS = {LOADER: "etl_loader", ADMIN: "etl_admin"}


@dataclass
class FakeSecrets:
    """Two secrets with a current version and, once a rotation has begun, an empty pending one."""

    values: dict[str, dict[str, str]] = field(default_factory=dict)
    stages: dict[str, dict[str, str]] = field(default_factory=dict)
    exceptions: Any = boto3.client("secretsmanager", region_name="us-east-1").exceptions
    before_switch: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        for arn, user in USERS.items():
            self.values[arn] = {"v1": json.dumps({"username": user, "password": f"{user} 1"})}
            self.stages[arn] = {"AWSCURRENT": "v1", "AWSPENDING": VERSION}

    def get_secret_value(
        self, *, SecretId: str, VersionId: str = "", VersionStage: str = "AWSCURRENT"
    ) -> dict[str, str]:
        version = self.stages[SecretId][VersionStage]
        assert VersionId in ("", version)
        if version not in self.values[SecretId]:
            error = {"Error": {"Code": "ResourceNotFoundException", "Message": "no value"}}
            raise self.exceptions.ResourceNotFoundException(error, "GetSecretValue")
        return {"SecretString": self.values[SecretId][version]}

    def put_secret_value(
        self, *, SecretId: str, ClientRequestToken: str, SecretString: str, VersionStages: list[str]
    ) -> None:
        assert VersionStages == ["AWSPENDING"]
        self.values[SecretId][ClientRequestToken] = SecretString

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:
        versions: dict[str, list[str]] = {}
        for stage, version in self.stages[SecretId].items():
            versions.setdefault(version, []).append(stage)
        return {"VersionIdsToStages": versions}

    def update_secret_version_stage(
        self, *, SecretId: str, VersionStage: str, MoveToVersionId: str, RemoveFromVersionId: str
    ) -> None:
        self.before_switch()
        assert self.stages[SecretId][VersionStage] == RemoveFromVersionId
        self.stages[SecretId][VersionStage] = MoveToVersionId

    def login(self, arn: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.get_secret_value(SecretId=arn)["SecretString"])
        return found


class FakeWarehouse:
    """The Data API before users, their verifiers, and nothing else."""

    def __init__(self, secrets: FakeSecrets) -> None:
        self.secrets = secrets
        self.verifiers = {
            user: password_hash(user, secrets.login(arn)["password"]) for arn, user in USERS.items()
        }
        self.statements: list[tuple[str, str]] = []
        self.outcomes: dict[str, str] = {}

    def execute_statement(self, *, Sql: str, SecretArn: str, **_target: str) -> dict[str, str]:
        login = self.secrets.login(SecretArn)
        name = f"s{len(self.statements)}"
        self.statements.append((login["username"], Sql))
        verifier = password_hash(login["username"], login["password"])
        is_refused = self.verifiers[login["username"]] != verifier
        self.outcomes[name] = "FATAL: password authentication failed" if is_refused else ""
        altered = re.fullmatch(r"alter user (\w+) password '(md5[0-9a-f]{32})'", Sql)
        if altered and not is_refused:
            self.verifiers[altered[1]] = altered[2]
        return {"Id": name}

    def describe_statement(self, *, Id: str) -> dict[str, str]:
        error = self.outcomes[Id]
        return {"Status": "FAILED", "Error": error} if error else {"Status": "FINISHED"}

    def get_statement_result(self, *, Id: str) -> dict[str, Any]:
        return {"Records": [[{"longValue": 1}]]}

    def takes(self, arn: str) -> bool:
        """Whether it lets the secret's current login in."""
        login = self.secrets.login(arn)
        return self.verifiers[login["username"]] == password_hash(
            login["username"], login["password"]
        )


@pytest.fixture
def secrets() -> FakeSecrets:
    return FakeSecrets()


@pytest.fixture
def warehouse(secrets: FakeSecrets) -> FakeWarehouse:
    return FakeWarehouse(secrets)


@pytest.fixture
def step(
    monkeypatch: pytest.MonkeyPatch, secrets: FakeSecrets, warehouse: FakeWarehouse
) -> Callable[..., None]:
    """Takes a step of a rotation, as Secrets Manager does."""
    clients = {"secretsmanager": secrets, "redshift-data": warehouse}
    monkeypatch.setattr(handler, "client", clients.__getitem__)
    monkeypatch.setattr(data_api, "time", SimpleNamespace(sleep=lambda _seconds: None))
    monkeypatch.setenv("WAREHOUSE_PARAMETER", "WorkgroupName")
    monkeypatch.setenv("WAREHOUSE_NAME", "redshift-pipeline")
    monkeypatch.setenv("DATABASE_NAME", "dev")
    monkeypatch.setenv("ADMIN_SECRET_ARN", ADMIN)
    monkeypatch.setenv("ROTATED_SECRET_ARNS", f"{LOADER},{ADMIN}")
    context = SimpleNamespace(
        function_name="RotateSecretFunction",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:RotateSecretFunction",
        aws_request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        get_remaining_time_in_millis=lambda: 180_000,
    )

    def take(name: str, arn: str) -> None:
        request = json.loads((EVENTS / "finish.json").read_text())
        handler.handler({**request, "Step": name, "SecretId": arn}, context)

    return take


@pytest.mark.parametrize("arn", [LOADER, ADMIN], ids=USERS.get)
def test_rotation_gives_secret_and_warehouse_the_same_new_password(
    step: Callable[..., None], secrets: FakeSecrets, warehouse: FakeWarehouse, arn: str
) -> None:
    old = secrets.login(arn)["password"]
    for name in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        step(name, arn)

    assert secrets.stages[arn]["AWSCURRENT"] == VERSION
    assert secrets.login(arn)["password"] != old
    assert warehouse.takes(arn)
    assert warehouse.takes(ADMIN)
    # Nobody but the administrator alters a user, and the new login is tried.
    assert {user for user, sql in warehouse.statements if sql.startswith("alter")} == {"etl_admin"}
    assert warehouse.statements[-1] == (USERS[arn], "select 1")
    assert not any(secrets.login(arn)["password"] in sql for _, sql in warehouse.statements)


@pytest.mark.parametrize("arn", [LOADER, ADMIN], ids=USERS.get)
def test_steps_may_be_taken_twice(
    step: Callable[..., None], secrets: FakeSecrets, warehouse: FakeWarehouse, arn: str
) -> None:
    step("createSecret", arn)
    pending = secrets.values[arn][VERSION]
    step("createSecret", arn)
    assert secrets.values[arn][VERSION] == pending
    step("finishSecret", arn)
    step("finishSecret", arn)

    assert secrets.values[arn][VERSION] == pending
    assert warehouse.takes(arn)


@pytest.mark.parametrize("arn", [LOADER, ADMIN], ids=USERS.get)
def test_attempt_that_broke_off_between_warehouse_and_secret_is_made_good(
    step: Callable[..., None], secrets: FakeSecrets, warehouse: FakeWarehouse, arn: str
) -> None:
    def break_off() -> None:
        raise TimeoutError

    step("createSecret", arn)
    secrets.before_switch = break_off
    with pytest.raises(TimeoutError):
        step("finishSecret", arn)
    assert not warehouse.takes(arn)

    secrets.before_switch = lambda: None
    step("finishSecret", arn)

    assert secrets.stages[arn]["AWSCURRENT"] == VERSION
    assert warehouse.takes(arn)


def test_administrator_whom_neither_password_lets_in_keeps_the_old_one(
    step: Callable[..., None], secrets: FakeSecrets, warehouse: FakeWarehouse
) -> None:
    warehouse.verifiers["etl_admin"] = password_hash("etl_admin", "changed by hand")
    step("createSecret", ADMIN)

    with pytest.raises(StatementFailedError, match="authentication failed"):
        step("finishSecret", ADMIN)

    assert secrets.stages[ADMIN]["AWSCURRENT"] == "v1"


def test_loader_keeps_the_old_password_where_the_administrator_is_not_let_in(
    step: Callable[..., None], secrets: FakeSecrets, warehouse: FakeWarehouse
) -> None:
    warehouse.verifiers["etl_admin"] = password_hash("etl_admin", "changed by hand")
    step("createSecret", LOADER)

    with pytest.raises(StatementFailedError, match="authentication failed"):
        step("finishSecret", LOADER)

    assert secrets.stages[LOADER]["AWSCURRENT"] == "v1"
    assert warehouse.takes(LOADER)
