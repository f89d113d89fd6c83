"""RotateSecretFunction: gives a database user a new password.

Called by: Secrets Manager, on the schedules LoaderRotation and AdminRotation, or when asked by
           `aws secretsmanager rotate-secret --secret-id …`.
Input:     {"Step": core.Step, "SecretId": ARN, "ClientRequestToken": the new version's id}.
Output:    none.
Errors:    core.RequestError, core.SecretError; StatementFailedError, DeadlineError; botocore's
           ClientError and BotoCoreError. Secrets Manager tries the rotation again, with the same
           version; every step may run twice.
Settings:  WAREHOUSE_PARAMETER (WorkgroupName or ClusterIdentifier), WAREHOUSE_NAME,
           DATABASE_NAME, ADMIN_SECRET_ARN, ROTATED_SECRET_ARNS (separated by commas; events
           about others are refused, since any secret of the account can be set to rotate here).

The Data API logs in with a secret's current version and no other, so a password cannot be tried
before it is current. What AWS's pattern spreads over setSecret, testSecret and finishSecret is
done in finishSecret at one go, so that the time in which the secret and the warehouse differ is
that of one call. A load that begins within it is refused its login, and is tried again.
"""

import os
from functools import cache
from typing import Any

import boto3
from apply_sql.data_api import DataApi, StatementFailedError
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from rotate_secret import core

logger = Logger()

CURRENT = "AWSCURRENT"
PENDING = "AWSPENDING"
PROBE = "select 1"
# Kept back from the function's time: one call that hangs, and cancelling.
RESERVED_SECONDS = 30
CLIENT_CONFIG = Config(
    connect_timeout=3,
    read_timeout=8,
    retries={"mode": "standard", "total_max_attempts": 3},
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Take one step of a rotation; see the module for the shapes."""
    rotation = core.read_event(event, os.environ["ROTATED_SECRET_ARNS"].split(","))
    logger.append_keys(step=rotation.step, secret=rotation.secret_arn)
    if rotation.step is core.Step.CREATE:
        create(rotation)
    if rotation.step is core.Step.FINISH:
        finish(rotation, context)
    logger.info("step taken")


def create(rotation: core.Rotation) -> None:
    """Store the new password as the pending version, once."""
    try:
        value_of(rotation.secret_arn, VersionId=rotation.version_id, VersionStage=PENDING)
    except client("secretsmanager").exceptions.ResourceNotFoundException:
        client("secretsmanager").put_secret_value(
            SecretId=rotation.secret_arn,
            ClientRequestToken=rotation.version_id,
            SecretString=core.with_new_password(value_of(rotation.secret_arn)),
            VersionStages=[PENDING],
        )


def finish(rotation: core.Rotation, context: LambdaContext) -> None:
    """Give the warehouse the pending password, make its version current, and log in with it."""
    current = current_version(rotation.secret_arn)
    if current == rotation.version_id:
        data_api(rotation.secret_arn, context).query_when_awake(PROBE)
        return
    is_altered = alter_user(rotation, context)
    make_current(rotation.secret_arn, rotation.version_id, instead_of=current)
    try:
        data_api(rotation.secret_arn, context).query(PROBE)
    except StatementFailedError:
        if not is_altered:
            make_current(rotation.secret_arn, current, instead_of=rotation.version_id)
        raise


def alter_user(rotation: core.Rotation, context: LambdaContext) -> bool:
    """Whether the warehouse took the pending password now.

    Where it refuses the administrator, whose own password this is, an earlier attempt may have
    come as far as this and no further: then the pending one is theirs already.
    """
    pending = value_of(rotation.secret_arn, VersionId=rotation.version_id, VersionStage=PENDING)
    statement = core.alter_user(pending)
    admin_arn = os.environ["ADMIN_SECRET_ARN"]
    admin = data_api(admin_arn, context)
    try:
        admin.query_when_awake(PROBE)
        admin.execute(statement, {})
    except StatementFailedError as error:
        if rotation.secret_arn != admin_arn or core.LOGIN_REFUSED not in str(error):
            raise
        return False
    return True


def value_of(secret_arn: str, **version: str) -> str:
    """The secret's text, of the current version if none is named."""
    answer = client("secretsmanager").get_secret_value(SecretId=secret_arn, **version)
    return str(answer["SecretString"])


def current_version(secret_arn: str) -> str:
    """The id of the version that the Data API logs in with."""
    versions = client("secretsmanager").describe_secret(SecretId=secret_arn)["VersionIdsToStages"]
    return str(next(version_id for version_id, stages in versions.items() if CURRENT in stages))


def make_current(secret_arn: str, version_id: str, instead_of: str) -> None:
    """Let the Data API log in with this version from now on."""
    client("secretsmanager").update_secret_version_stage(
        SecretId=secret_arn,
        VersionStage=CURRENT,
        MoveToVersionId=version_id,
        RemoveFromVersionId=instead_of,
    )


def data_api(secret_arn: str, context: LambdaContext) -> DataApi:
    """The Data API, logged in with a secret, for as long as the function may wait."""
    return DataApi(
        client("redshift-data"),
        warehouse={os.environ["WAREHOUSE_PARAMETER"]: os.environ["WAREHOUSE_NAME"]},
        database=os.environ["DATABASE_NAME"],
        secret_arn=secret_arn,
        remaining_seconds=lambda: context.get_remaining_time_in_millis() / 1000 - RESERVED_SECONDS,
    )


@cache
def client(service: str) -> Any:
    """The client of an AWS service, made at its first use; throttled calls are tried again."""
    return boto3.client(service, config=CLIENT_CONFIG)
