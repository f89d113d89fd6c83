import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from apply_sql import answer as answers
from botocore.exceptions import ClientError

ADMIN_SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:admin"
LOADER_SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:loader"
LOADER_PASSWORD = "correct horse battery staple"
SPECTRUM_ROLE = "arn:aws:iam::000000000000:role/redshift-pipeline-SpectrumRole-ExAmPlE00000"
VERSION_TABLE = """\
create schema if not exists etl;
create table if not exists etl.schema_version (
    path varchar(256) not null,
    checksum varchar(64) not null,
    pending_checksum varchar(64),
    applied_at timestamp
)"""
VIEW = "drop view if exists etl.answer;\ncreate view etl.answer as select 1 as number;"
FILES = {
    "schema/0001_schema_version.sql": VERSION_TABLE,
    "schema/0002_ledger.sql": "create table etl.ledger (id integer)",
    "datasets/flights/flights_lock.sql": "create table if not exists etl.flights_lock (id integer)",
    "views/answer.sql": VIEW,
}

Invoke = Callable[..., dict[str, Any]]
WriteSql = Callable[[dict[str, str]], None]


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "as asked"}}, "ExecuteStatement")


@pytest.fixture
def deployed(invoke: Invoke, write_sql: WriteSql, warehouse: Any) -> Any:
    write_sql(FILES)
    assert invoke("create")["Status"] == "SUCCESS"
    warehouse.requests.clear()
    return warehouse


def test_create_applies_and_records_every_file(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any
) -> None:
    write_sql(FILES)

    answer = invoke("create")

    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["AppliedFiles"] == "4"
    assert warehouse.batches() == [next(iter(FILES)), *FILES]
    assert warehouse.records() == {
        path: (hashlib.sha256(text.encode()).hexdigest(), None) for path, text in FILES.items()
    }


def test_answer_identifies_its_request(invoke: Invoke, write_sql: WriteSql, inbox: Any) -> None:
    write_sql(FILES)

    answer = invoke("create", StackId="stack", RequestId="request", LogicalResourceId="AppliedSql")

    assert answer["StackId"] == "stack"
    assert answer["RequestId"] == "request"
    assert answer["LogicalResourceId"] == "AppliedSql"
    assert answer["PhysicalResourceId"] == "redshift-pipeline/dev/sql"
    assert inbox.content_types == [""]


def test_update_without_changes_only_reads(invoke: Invoke, deployed: Any) -> None:
    answer = invoke("update")

    assert answer["Data"]["AppliedFiles"] == "0"
    assert answer["PhysicalResourceId"] == "redshift-pipeline/dev/sql"
    assert all(request["Sql"].startswith("select") for request in deployed.requests)


def test_update_with_an_edited_view_applies_that_one(
    invoke: Invoke, write_sql: WriteSql, deployed: Any
) -> None:
    write_sql({"views/answer.sql": VIEW.replace("1", "42")})

    answer = invoke("update")

    assert answer["Data"]["AppliedFiles"] == "1"
    assert deployed.batches() == ["views/answer.sql"]
    assert deployed.database.execute("select number from etl.answer").fetchall() == [(42,)]


DEPLOYMENT = {
    "schema/0003_users.sql": "create table etl.users (name text, password text)",
    "deployment/0001_user.sql": """
        select 1 where not exists (select 1 from etl.users);
        insert into etl.users values ('loader', '');
        update etl.schema_version set checksum = '' where path not like 'schema/%'
    """,
    "deployment/0002_password.sql": "update etl.users set password = '${LoaderPasswordHash}'",
}


def test_each_deployment_sees_to_what_may_be_another_ones(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any, secrets: Any
) -> None:
    write_sql(FILES | DEPLOYMENT)
    assert invoke("create")["Data"]["AppliedFiles"] == "5"
    users = warehouse.database.execute("select name, password from etl.users").fetchall()
    secrets.texts[LOADER_SECRET] = json.dumps(
        {"username": "etl_loader", "password": "of another stack"}
    )
    warehouse.requests.clear()

    answer = invoke("create")

    assert answer["Data"]["AppliedFiles"] == "0"
    assert warehouse.batches() == ["deployment/0002_password.sql"]
    [(name, password)] = warehouse.database.execute("select name, password from etl.users")
    assert name == "loader"
    assert users != [(name, password)]


def test_what_had_to_be_made_anew_has_what_stands_on_it_applied_again(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any
) -> None:
    write_sql(FILES | DEPLOYMENT)
    invoke("create")
    warehouse.database.execute("delete from etl.users")
    warehouse.requests.clear()

    answer = invoke("create")

    assert answer["Data"]["AppliedFiles"] == "2"
    assert warehouse.batches() == [
        *[path for path in DEPLOYMENT if path.startswith("deployment/")],
        *[path for path in FILES if not path.startswith("schema/")],
    ]


def test_file_of_a_deployment_that_fails_is_told_with_the_number_of_the_statement(
    invoke: Invoke, write_sql: WriteSql
) -> None:
    write_sql(FILES | {"deployment/0001_user.sql": "select 1; select 2; oops"})

    answer = invoke("create")

    assert answer["Reason"].startswith("ApplyError: deployment/0001_user.sql, statement 3 of 3: ")


def test_isolation_level_is_told(invoke: Invoke, deployed: Any) -> None:
    assert invoke("update")["Data"]["Isolation"] == "Snapshot Isolation"


def test_serializable_database_is_told_with_the_command_that_changes_it(
    invoke: Invoke, deployed: Any
) -> None:
    # The levels are of fixed width in one of Redshift's views.
    deployed.database.execute(
        "update svv_redshift_databases set database_isolation_level = 'Serializable   '"
    )

    told = invoke("update")["Data"]["Isolation"]

    assert told.startswith("Serializable")
    assert told.endswith("alter database dev isolation level snapshot")


@pytest.mark.parametrize(
    "change",
    [
        "drop table svv_redshift_databases",
        "delete from svv_redshift_databases",
        "update svv_redshift_databases set database_isolation_level = null",
    ],
)
def test_warehouse_that_does_not_tell_its_isolation_level_is_deployed_to(
    invoke: Invoke, deployed: Any, change: str
) -> None:
    deployed.database.execute(change)

    answer = invoke("update")

    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Isolation"] == "not known"


def test_statement_that_fails_is_told_with_file_and_number(
    invoke: Invoke, write_sql: WriteSql, deployed: Any
) -> None:
    write_sql({"views/answer.sql": f"{VIEW} create view etl.broken as oops"})

    answer = invoke("update")

    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == (
        'ApplyError: views/answer.sql, statement 3 of 3: ERROR: near "oops": syntax error'
    )
    assert answer["PhysicalResourceId"] == "redshift-pipeline/dev/sql"


def test_file_that_fails_leaves_neither_effect_nor_record(
    invoke: Invoke, write_sql: WriteSql, deployed: Any
) -> None:
    before = deployed.records()["views/answer.sql"][0]
    write_sql({"views/answer.sql": f"{VIEW.replace('1', '42')} oops"})

    invoke("update")

    assert deployed.database.execute("select number from etl.answer").fetchall() == [(1,)]
    assert deployed.records()["views/answer.sql"][0] == before


def test_files_before_the_one_that_fails_stay_and_are_not_applied_again(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any
) -> None:
    write_sql(FILES | {"views/answer.sql": "create view etl.answer as oops"})
    assert invoke("create")["Status"] == "FAILED"
    warehouse.requests.clear()

    write_sql(FILES)
    answer = invoke("create")

    assert answer["Status"] == "SUCCESS"
    assert warehouse.batches() == ["views/answer.sql"]


def test_schema_file_that_failed_may_be_mended(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any
) -> None:
    write_sql(FILES | {"schema/0002_ledger.sql": "create table etl.ledger (id integer); oops"})
    assert invoke("create")["Status"] == "FAILED"

    write_sql(FILES)

    assert invoke("create")["Status"] == "SUCCESS"


def test_mark_left_by_an_interrupted_run_records_nothing(
    invoke: Invoke, write_sql: WriteSql, deployed: Any
) -> None:
    deployed.database.execute(
        "insert into etl.schema_version values ('views/gone.sql', '', 'abc', null)"
    )
    write_sql({"views/answer.sql": VIEW.replace("1", "42")})

    assert invoke("update")["Status"] == "SUCCESS"

    assert deployed.records()["views/gone.sql"] == ("", None)


def test_file_that_was_marked_but_not_applied_is_due(
    invoke: Invoke, write_sql: WriteSql, deployed: Any
) -> None:
    deployed.database.execute(
        "update etl.schema_version set checksum = '', pending_checksum = 'abc'"
        " where path = 'views/answer.sql'"
    )

    assert invoke("update")["Data"]["AppliedFiles"] == "1"
    assert deployed.batches() == ["views/answer.sql"]


def test_edited_schema_file_fails_before_anything_is_applied(
    invoke: Invoke, write_sql: WriteSql, deployed: Any
) -> None:
    write_sql(
        {"schema/0002_ledger.sql": "create table etl.l2 (a integer)", "views/answer.sql": "x"}
    )

    answer = invoke("update")

    assert answer["Reason"].startswith("SqlFileError: schema/0002_ledger.sql: was edited")
    assert deployed.batches() == []


def test_folder_without_the_version_table_fails(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any
) -> None:
    write_sql({"views/answer.sql": VIEW})

    assert "schema/0001_schema_version.sql: is missing" in invoke("create")["Reason"]


def test_delete_leaves_the_warehouse_alone(invoke: Invoke, warehouse: Any) -> None:
    answer = invoke("delete", ResourceProperties={})

    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == "redshift-pipeline/dev/sql"
    assert warehouse.requests == []


def test_every_statement_goes_to_the_workgroup_as_the_admin(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any
) -> None:
    write_sql(FILES)
    invoke("create")

    targets = {(r["WorkgroupName"], r["Database"], r["SecretArn"]) for r in warehouse.requests}
    assert targets == {
        (
            "redshift-pipeline",
            "dev",
            "arn:aws:secretsmanager:us-east-1:000000000000:secret:admin",
        )
    }


def test_password_goes_into_no_statement_log_or_answer(
    invoke: Invoke,
    write_sql: WriteSql,
    warehouse: Any,
    inbox: Any,
    log: Callable[[], str],
) -> None:
    write_sql(FILES | {"views/user.sql": "create view etl.u as select '${LoaderPasswordHash}'; x"})

    invoke("create")

    verifier = "md5" + hashlib.md5(f"{LOADER_PASSWORD}etl_loader".encode()).hexdigest()
    sent = json.dumps(warehouse.requests)
    assert verifier in sent
    assert LOADER_PASSWORD not in sent + log() + repr(inbox.bodies)


def test_secrets_say_where_the_workgroup_listens(
    invoke: Invoke, write_sql: WriteSql, secrets: Any
) -> None:
    write_sql(FILES)
    invoke("create")

    where = {
        "engine": "redshift",
        "host": "redshift-pipeline.example.com",
        "port": 5439,
        "dbname": "dev",
        "namespaceName": "redshift-pipeline-namespace",
    }
    assert secrets.held(ADMIN_SECRET) == {"username": "etl_admin", "password": "secret", **where}
    loader = {"username": "etl_loader", "password": LOADER_PASSWORD, **where}
    assert secrets.held(LOADER_SECRET) == loader


def test_workgroup_of_yours_is_found_by_its_arn(
    invoke: Invoke, write_sql: WriteSql, secrets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sql(FILES)
    arn = "arn:aws:redshift-serverless:us-east-1:000000000000:workgroup/5440"
    monkeypatch.setenv("WAREHOUSE_NAME", arn)
    monkeypatch.setenv("COMPLETED_SECRET_ARNS", LOADER_SECRET)
    invoke("create")

    assert secrets.held(LOADER_SECRET)["host"] == "other.example.com"
    assert secrets.written == [LOADER_SECRET]


def test_unknown_workgroup_is_answered(
    invoke: Invoke, write_sql: WriteSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sql(FILES)
    monkeypatch.setenv("WAREHOUSE_NAME", "gone")

    reason = invoke("create")["Reason"]
    assert reason.startswith("UnknownWarehouseError: there is no workgroup gone")


def test_secret_forgets_the_warehouse_that_was_left(
    invoke: Invoke, write_sql: WriteSql, secrets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sql(FILES)
    invoke("create")
    monkeypatch.setenv("WAREHOUSE_PARAMETER", "ClusterIdentifier")
    monkeypatch.setenv("WAREHOUSE_NAME", "sales")

    answer = invoke("update")
    assert answer["PhysicalResourceId"] == "redshift-pipeline/dev/sql"
    assert secrets.held(LOADER_SECRET) == {
        "username": "etl_loader",
        "password": LOADER_PASSWORD,
        "engine": "redshift",
        "host": "sales.example.com",
        "port": 5441,
        "dbname": "dev",
        "dbClusterIdentifier": "sales",
    }


def test_secret_that_is_complete_is_not_written_again(
    invoke: Invoke, write_sql: WriteSql, secrets: Any
) -> None:
    write_sql(FILES)
    invoke("create")
    secrets.written.clear()
    invoke("update")

    assert secrets.written == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("hunter2", id="no JSON"),
        pytest.param('["hunter2"]', id="no object"),
        pytest.param('{"password": "hunter2"}', id="no user"),
        pytest.param('{"username": "hunter2", "password": 7}', id="number"),
    ],
)
def test_secret_of_another_shape_fails_without_being_told(
    invoke: Invoke,
    write_sql: WriteSql,
    secrets: Any,
    log: Callable[[], str],
    text: str,
) -> None:
    write_sql(FILES)
    secrets.texts[LOADER_SECRET] = text

    answer = invoke("create")

    assert answer["Reason"].startswith("SecretError: arn:aws:secretsmanager:")
    assert "hunter2" not in answer["Reason"] + log()


def test_setting_that_is_not_what_it_stands_for_is_not_put_into_sql(
    invoke: Invoke, write_sql: WriteSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sql(FILES)
    monkeypatch.setenv("GLUE_DATABASE_NAME", "dev'")

    assert "SubstitutionError: the value for ${GlueDatabase}" in invoke("create")["Reason"]


@pytest.mark.parametrize(
    "properties",
    [
        {
            "Secrets": ["arn:aws:secretsmanager:us-east-1:000000000000:secret:a-neighbours"],
            "Substitutions": {"SpectrumRoleArn": "arn:aws:iam::000000000000:role/a-neighbours"},
            "SpectrumRoleArn": "arn:aws:iam::000000000000:role/a-neighbours",
            "GlueDatabase": "a_neighbours",
            "Database": "a_neighbours",
        },
        {},
        None,
    ],
    ids=["other settings", "no settings", "no properties"],
)
def test_whoever_invokes_it_settles_nothing(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any, secrets: Any, properties: Any
) -> None:
    lake = "create view etl.l as select '${SpectrumRoleArn} ${GlueDatabase}'"
    write_sql(FILES | {"views/lake.sql": lake})

    answer = invoke("create", ResourceProperties=properties)

    assert answer["Status"] == "SUCCESS"
    assert "neighbours" not in json.dumps(warehouse.requests)
    assert f"'{SPECTRUM_ROLE} redshift_pipeline'" in json.dumps(warehouse.requests)
    assert secrets.written == [LOADER_SECRET, ADMIN_SECRET]


@pytest.mark.parametrize(
    "address",
    [
        "{inbox}/answer",
        "https://evil.example.com/answer",
        "http://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/a",
        "https://cloudformation-custom-resource-response-evil.s3.amazonaws.com/a",
        "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com.evil.com/a",
        "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com@evil.com/a",
        "https://evil.com/cloudformation-custom-resource-response-useast1.s3.amazonaws.com",
        "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com:8443/a",
        "file:///etc/passwd",
        "",
        None,
    ],
)
def test_nothing_is_done_for_whoever_wants_the_answer_elsewhere(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any, inbox: Any, address: str | None
) -> None:
    write_sql(FILES)
    url = address.format(inbox=inbox.endpoint) if address else address

    with pytest.raises(answers.AddressError):
        invoke("create", ResponseURL=url)

    assert (warehouse.requests, inbox.answers) == ([], [])


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("useast1.s3.amazonaws.com", "us-east-1"),
        ("eucentral1.s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("uswest2.s3-us-west-2.amazonaws.com", "us-west-2"),
        ("usgovwest1.s3.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("apsoutheast5.s3.dualstack.ap-southeast-5.amazonaws.com", "ap-southeast-5"),
        ("cnnorth1.s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ],
)
def test_addresses_of_cloudformation_are_answered(host: str, region: str) -> None:
    url = f"https://cloudformation-custom-resource-response-{host}/a?X-Amz-Signature=b"

    answers.check_address(url, region)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"RequestType": "Upsert"}, "RequestError: RequestType is 'Upsert'", id="type"),
        pytest.param({"RequestType": None}, "RequestError", id="no type"),
    ],
)
def test_bad_request_is_answered(
    invoke: Invoke, write_sql: WriteSql, changes: dict[str, Any], reason: str
) -> None:
    write_sql(FILES | {"views/v.sql": "create view etl.v as select '${GlueDatabase}'"})

    answer = invoke("create", **changes)

    assert answer["Status"] == "FAILED"
    assert reason in answer["Reason"]


@pytest.mark.parametrize("event", ["create", "update"])
def test_missing_setting_is_answered(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    monkeypatch.delenv("WAREHOUSE_NAME")

    answer = invoke(event)

    assert answer["Status"] == "FAILED"
    assert "WAREHOUSE_NAME" in answer["Reason"]
    assert answer["PhysicalResourceId"]


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(client_error("ValidationException"), id="endpoint unknown yet"),
        pytest.param(client_error("InternalServerException"), id="service"),
        pytest.param("FATAL: connection refused", id="connection"),
    ],
)
def test_workgroup_that_wakes_up_is_waited_for(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any, clock: Any, refusal: object
) -> None:
    write_sql(FILES)
    warehouse.refusals = [refusal] * 5

    assert invoke("create")["Status"] == "SUCCESS"
    assert clock.now > 30


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        pytest.param(client_error("AccessDeniedException"), "AccessDenied", id="IAM"),
        pytest.param(
            'FATAL: password authentication failed for user "etl_admin"',
            "authentication failed",
            id="password",
        ),
        pytest.param(
            'FATAL: database "sales" does not exist',
            'database "sales" does not exist',
            id="database",
        ),
    ],
)
def test_refusal_that_stays_is_answered_at_once(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any, clock: Any, refusal: object, reason: str
) -> None:
    write_sql(FILES)
    warehouse.refusals = [refusal] * 100

    answer = invoke("create")

    assert reason in answer["Reason"]
    assert clock.now < 1


def test_workgroup_that_never_wakes_up_is_answered(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any, clock: Any
) -> None:
    write_sql(FILES)
    warehouse.refusals = [client_error("ValidationException")] * 100

    assert "ValidationException" in invoke("create")["Reason"]
    assert 55 < clock.now < 70


def test_statement_that_outlives_the_function_is_cancelled_and_answered(
    invoke: Invoke, write_sql: WriteSql, deployed: Any, clock: Any
) -> None:
    write_sql({"views/answer.sql": VIEW.replace("1", "42")})
    deployed.polls_per_statement = 10_000

    answer = invoke("update")

    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("DeadlineError: the function's time is up")
    assert len(deployed.cancelled) == 1
    assert 50 < clock.ends_at - clock.now < 65


def test_function_without_time_starts_nothing(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any, clock: Any
) -> None:
    write_sql(FILES)
    clock.ends_at = 60

    assert invoke("create")["Reason"].startswith("DeadlineError")
    assert warehouse.requests == []


def test_time_that_is_up_between_two_files_names_the_next(
    invoke: Invoke, write_sql: WriteSql, warehouse: Any, clock: Any
) -> None:
    write_sql(FILES)
    warehouse.polls_per_statement = 400

    answer = invoke("create")

    assert answer["Reason"].startswith("ApplyError: schema/0001_schema_version.sql: the function's")


def test_polling_backs_off_to_two_seconds(
    invoke: Invoke, write_sql: WriteSql, deployed: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []
    monkeypatch.setattr(clock, "sleep", delays.append)
    deployed.polls_per_statement = 14

    invoke("update")

    first = delays[:14]
    assert first[0] == pytest.approx(0.03)
    assert first == sorted(first)
    assert first[-1] == pytest.approx(2.0)


def test_long_message_is_cut_to_what_cloudformation_takes(
    invoke: Invoke, write_sql: WriteSql, inbox: Any
) -> None:
    write_sql(FILES | {"views/answer.sql": f"create view etl.answer as {'日' * 20_000}"})

    answer = invoke("create")

    assert answer["Reason"].startswith("ApplyError: views/answer.sql, statement 1 of 1: ERROR")
    assert 3_000 < len(inbox.bodies[-1]) <= 4_096


def test_answer_is_sent_again_when_it_is_refused(invoke: Invoke, inbox: Any) -> None:
    inbox.refusals = 2

    assert invoke("delete")["Status"] == "SUCCESS"
    assert len(inbox.content_types) == 3


def test_answer_that_cannot_be_delivered_is_raised(invoke: Invoke, inbox: Any) -> None:
    inbox.refusals = 3

    with pytest.raises(OSError, match="503"):
        invoke("delete")
