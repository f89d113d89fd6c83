"""ApplySqlFunction: the custom resource that applies sql/ when the stack is deployed.

Called by: CloudFormation, for the resource AppliedSql.
Input:     a custom resource request. Its properties say when to run, and never what to do: whoever
           may invoke the function decides about them.
Output:    a PUT to the request's ResponseURL, whatever happens. Data: {"AppliedFiles": how
           many, "Isolation": the database's isolation level, and how to change it where loads
           suffer from it}. A failure names the file, the statement's number and Redshift's
           message. Delete leaves the warehouse as it is.
Errors:    that the answer cannot be delivered (OSError), so that Lambda tries again; that it would
           go to somebody else than CloudFormation (answer.AddressError), and nothing was done.
Settings:  WAREHOUSE_PARAMETER (WorkgroupName or ClusterIdentifier), WAREHOUSE_NAME,
           DATABASE_NAME, GLUE_DATABASE_NAME, SPECTRUM_ROLE_ARN, ADMIN_SECRET_ARN,
           LOADER_SECRET_ARN, COMPLETED_SECRET_ARNS (those that are to say where the warehouse
           listens, separated by commas).
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from apply_sql import answer, connection, core
from apply_sql.data_api import DataApi, DeadlineError, StatementFailedError

logger = Logger()

SQL_FOLDER = Path(__file__).parent / "sql"

# Kept back from the function's time: one call that hangs, cancelling, and answering.
RESERVED_SECONDS = 60
CLIENT_CONFIG = Config(
    connect_timeout=3,
    read_timeout=8,
    retries={"mode": "standard", "total_max_attempts": 3},
)

VERSION_TABLE = """\
select tablename from pg_tables where schemaname = 'etl' and tablename = 'schema_version'"""
RECORDED_CHECKSUMS = "select path, checksum from etl.schema_version where checksum <> ''"
ADD_PATH = """\
insert into etl.schema_version (path, checksum)
select cast(:path as varchar(256)), ''
where not exists (select 1 from etl.schema_version where path = cast(:path as varchar(256)))"""
MARK_PENDING = """\
update etl.schema_version
set pending_checksum =
    case when path = cast(:path as varchar(256)) then cast(:checksum as varchar(64)) end"""
RECORD_PENDING = """\
update etl.schema_version
set checksum = pending_checksum, pending_checksum = null, applied_at = getdate()
where pending_checksum is not null"""
# Visible to everybody, on serverless workgroups and on clusters.
ISOLATION_LEVEL = """\
select database_isolation_level, database_name
from svv_redshift_databases
where database_name = current_database()"""
SERIALIZABLE_NOTE = """\
{level}: loads of two datasets at once may fail with error 1023, and are tried again. To change \
it, connect to another database while nobody is connected to this one, and run: \
alter database {database} isolation level snapshot"""


class RequestError(ValueError):
    """A request that is not one of this custom resource."""


class SecretError(ValueError):
    """The loader's secret does not hold a user name and a password."""


class ApplyError(RuntimeError):
    """A file could not be applied; the text names it and the statement."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Fulfil a custom resource request and answer it; see the module for the shapes."""
    answer.check_address(str(event.get("ResponseURL", "")), os.environ["AWS_REGION"])
    physical_id = physical_resource_id(event)
    try:
        data = fulfil(event, context)
        reply = answer.success(event, physical_id, data)
    # CloudFormation waits up to an hour for an answer that does not come.
    except Exception as error:
        logger.exception("request failed")
        reply = answer.failure(event, physical_id, f"{type(error).__name__}: {error}")
    answer.send(event["ResponseURL"], reply)


def physical_resource_id(request: Mapping[str, Any]) -> str:
    """The one id that this resource keeps for life, so that no update looks like a new one.

    Not even one that changes the warehouse: CloudFormation would go on to delete the resource in
    the old one, where nothing is to be deleted.
    """
    if request.get("PhysicalResourceId"):
        return str(request["PhysicalResourceId"])
    return "{}/{}/sql".format(
        os.environ.get("WAREHOUSE_NAME", "-"), os.environ.get("DATABASE_NAME", "-")
    )


def fulfil(request: Mapping[str, Any], context: LambdaContext) -> dict[str, str]:
    """Do what the request asks for; answers the resource's attributes."""
    match request.get("RequestType"):
        case "Create" | "Update":
            api = data_api(context)
            applied = apply_folder(api, core.read_folder(SQL_FOLDER), values)
            complete_secrets(os.environ["COMPLETED_SECRET_ARNS"].split(","))
            return {"AppliedFiles": str(applied), "Isolation": isolation(api)}
        case "Delete":
            logger.info("warehouse left as it is")
            return {}
        case other:
            raise RequestError(f"RequestType is {other!r}, not Create, Update or Delete")


def apply_folder(
    api: DataApi, files: Sequence[core.SqlFile], read_values: Callable[[], Mapping[str, str]]
) -> int:
    """Apply every file that is due, each in a transaction with its record; answers how many.

    All are checked before the first is applied. The values are read once the warehouse is awake:
    the older the loader's password, the likelier its rotation has overtaken it.
    """
    is_new = not api.query_when_awake(VERSION_TABLE)
    substitutions = read_values()
    steps = core.plan(files, substitutions, {} if is_new else records(api))
    deployment = core.plan_deployment(files, substitutions)
    if is_new:
        make_version_table(api, steps)
    schema = [step for step in steps if step.is_schema]
    for step in schema:
        apply_step(api, step)
    for step in deployment:
        follow_deployment(api, step)
    # What was missing in the warehouse has made the records of what stands on it void.
    rest = core.plan(files, substitutions, records(api))
    for step in rest:
        apply_step(api, step)
    return len(schema) + len(rest)


def records(api: DataApi) -> dict[str, str]:
    """The checksum of each file that the warehouse holds, by path."""
    return dict(api.query(RECORDED_CHECKSUMS))


def isolation(api: DataApi) -> str:
    """The database's isolation level, with the command that changes it where loads suffer from it.

    Never fails: not every warehouse need have the view, and all has been applied by now.
    """
    try:
        [[level, database]] = api.query(ISOLATION_LEVEL)
    except (StatementFailedError, DeadlineError, ClientError, BotoCoreError, ValueError) as error:
        logger.warning("isolation level not known", reason=str(error))
        return "not known"
    told = str(level or "not known").strip()
    if not told.lower().startswith("serializable"):
        return told
    logger.warning("isolation level is serializable", database=database)
    return SERIALIZABLE_NOTE.format(level=told, database=database)


def make_version_table(api: DataApi, steps: Sequence[core.Step]) -> None:
    """Run the file that makes the table of records, which has to bear a second time."""
    for step in steps:
        if step.path == core.BOOTSTRAP_PATH:
            with named(step):
                api.execute_batch(step.statements, name=step.path)
            return
    raise core.SqlFileError(core.BOOTSTRAP_PATH, "is missing")


def apply_step(api: DataApi, step: core.Step) -> None:
    """Apply one file. Its path and checksum travel as parameters, ahead of the transaction:
    no value is put into SQL text, and a batch takes no parameters."""
    with named(step):
        api.execute(ADD_PATH, {"path": step.path})
        api.execute(MARK_PENDING, {"path": step.path, "checksum": step.checksum})
        api.execute_batch([*step.statements, RECORD_PENDING], name=step.path)
    logger.info("file applied", path=step.path)


def follow_deployment(api: DataApi, step: core.Step) -> None:
    """Bring the warehouse up to this deployment in what one file is about, where it is not."""
    with named(step):
        if step.condition and not api.query(step.condition):
            return
        api.execute_batch(step.statements, name=step.path)
    logger.info("warehouse follows the deployment", path=step.path)


@contextmanager
def named(step: core.Step) -> Iterator[None]:
    """Turn whatever goes wrong at the warehouse into an ApplyError that tells where."""
    try:
        yield
    except StatementFailedError as error:
        raise ApplyError(f"{place(step, error.number)}: {error}") from error
    except (DeadlineError, ClientError, BotoCoreError) as error:
        raise ApplyError(f"{step.path}: {error}") from error


def place(step: core.Step, number: int | None) -> str:
    """Where in a file the statement of this number stands."""
    if number is None:
        return step.path
    if number > len(step.statements):
        return f"{step.path}, recording it as applied"
    before = 1 if step.condition else 0
    return f"{step.path}, statement {before + number} of {before + len(step.statements)}"


def complete_secrets(arns: Sequence[str]) -> None:
    """Have each secret say where the warehouse listens; one that says so already is left alone.

    A password that is rotated at the same moment could be lost. That takes a warehouse that was
    just changed: at first the rotations wait for this resource, and later nothing is written.
    """
    where = connection.find(client, os.environ["WAREHOUSE_PARAMETER"], os.environ["WAREHOUSE_NAME"])
    where["dbname"] = os.environ["DATABASE_NAME"]
    secrets = client("secretsmanager")
    for arn in arns:
        secret = secrets.get_secret_value(SecretId=arn)["SecretString"]
        completed = connection.completed(secret, where)
        if completed != secret:
            secrets.put_secret_value(SecretId=arn, SecretString=completed)
            logger.info("secret completed", secret=arn)


def values() -> dict[str, str]:
    """What the placeholders stand for. Raises core.SubstitutionError, SecretError."""
    return core.check_substitutions(
        {
            "GlueDatabase": os.environ["GLUE_DATABASE_NAME"],
            "SpectrumRoleArn": os.environ["SPECTRUM_ROLE_ARN"],
            "LoaderPasswordHash": loader_password_hash(),
        }
    )


def loader_password_hash() -> str:
    """The verifier of the loader's password, which itself goes no further than this."""
    arn = os.environ["LOADER_SECRET_ARN"]
    secret = client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    try:
        login = json.loads(secret)
        return core.password_hash(login["username"], login["password"])
    except (ValueError, KeyError, TypeError):
        # Without the cause, whose text might hold a part of the secret.
        raise SecretError(f"{arn} is not JSON with username and password") from None


def data_api(context: LambdaContext) -> DataApi:
    """The Data API, logged in as the admin, for as long as the function may wait."""
    return DataApi(
        client("redshift-data"),
        warehouse={os.environ["WAREHOUSE_PARAMETER"]: os.environ["WAREHOUSE_NAME"]},
        database=os.environ["DATABASE_NAME"],
        secret_arn=os.environ["ADMIN_SECRET_ARN"],
        remaining_seconds=lambda: context.get_remaining_time_in_millis() / 1000 - RESERVED_SECONDS,
    )


@cache
def client(service: str) -> Any:
    """The client of an AWS service, made at its first use; throttled calls are tried again."""
    return boto3.client(service, config=CLIENT_CONFIG)
