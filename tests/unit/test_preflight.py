"""tools/preflight.py: each check green, amber and red, against answers as AWS gives them."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import Stubber
from samtranslator.yaml_helper import yaml_parse

from tests import commands
from tools import account_checks, checks, deployments, preflight, warehouse_checks
from tools.checks import Result, State
from tools.deployments import Deployment
from tools.stacks import StackError

ROOT = Path(__file__).parents[2]
TEMPLATE = yaml_parse((ROOT / "template.yaml").read_text())
ACCOUNT = "123456789012"
STACK = "redshift-pipeline-dev"
WORKGROUP = f"arn:aws:redshift-serverless:us-east-1:{ACCOUNT}:workgroup/0-1"
CLUSTER = f"arn:aws:redshift:us-east-1:{ACCOUNT}:cluster:warehouse"
SECRET = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:admin-AbCdEf"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1-2"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/bound"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/{STACK}-SpectrumRole-1"
OF_CLUSTER = {"ClusterArn": CLUSTER, "WarehouseSecretArn": SECRET}
OF_WORKGROUP = {"WorkgroupArn": WORKGROUP, "WarehouseSecretArn": SECRET}


@cache
def session_in(region: str | None) -> boto3.Session:
    variables = {"region": (None, None, region, None)}
    return boto3.Session(
        botocore_session=botocore.session.Session(variables),
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


class Account:
    """A deployment whose clients give the answers that a test has put in, in their order."""

    def __init__(self, stack: str = STACK, region: str | None = "us-east-1", **given: str) -> None:
        self.deployment = Deployment("dev", stack, session_in(region), given)
        self._answers: list[tuple[str, str, Any]] = []
        self.has(caller=f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/me", existing={}, resources={})

    def has(self, **known: Any) -> "Account":
        """Put in what the deployment would have asked for."""
        vars(self.deployment).update(known)
        return self

    def forgets(self, name: str) -> "Account":
        del vars(self.deployment)[name]
        return self

    def deployed(self, status: str = "UPDATE_COMPLETE", **resources: str) -> "Account":
        outputs = [{"OutputKey": "SpectrumRoleArn", "OutputValue": ROLE}]
        return self.has(existing={"StackStatus": status, "Outputs": outputs}, resources=resources)

    def answers(self, service: str, operation: str, answer: Any) -> "Account":
        self._answers.append((service, operation, answer))
        return self

    def refuses(self, service: str, operation: str, code: str, message: str = "") -> "Account":
        return self.answers(service, operation, (code, message))

    def asked(self) -> Deployment:
        """The deployment, with all answers before it."""
        stubbers: dict[str, Stubber] = {}
        for service, operation, answer in self._answers:
            if service not in stubbers:
                stubbers[service] = Stubber(self.deployment.client(service))
                stubbers[service].activate()
            if isinstance(answer, tuple):
                stubbers[service].add_client_error(operation, *answer)
            else:
                stubbers[service].add_response(operation, answer)
        return self.deployment


def found(check: Callable[[Any], Result], account: Account) -> Result:
    """What a check finds, as preflight runs it."""
    subject: Any = account.asked()
    if check.__module__ == warehouse_checks.__name__:
        subject = warehouse_checks.Warehouse(account.deployment)
    return preflight._run(check, subject)


@cache
def finding(number: int) -> Result:
    """What a check finds in the case of that number."""
    check, account, _, _ = CASES[number]
    return found(check, account)


def stack_is(status: str) -> Account:
    return Account().deployed(status)


def buckets_are(*answers: str) -> Account:
    """Each answer is an error's code, or "" for a bucket that can be looked at."""
    account = Account()
    for code in answers:
        if code:
            account.refuses("s3", "head_bucket", code)
        else:
            account.answers("s3", "head_bucket", {})
    return account


def subnets_in(*zones: str, free: int = 100, vpcs: str = "v", **given: str) -> Account:
    account = Account(**given)
    if not given:
        account.answers("ec2", "describe_vpcs", {"Vpcs": [{"VpcId": "v"}]})
    subnets = [
        {
            "SubnetId": f"subnet-{number}",
            "VpcId": vpcs[number % len(vpcs)],
            "AvailabilityZone": f"us-east-1{zone}",
            "AvailableIpAddressCount": free,
        }
        for number, zone in enumerate(zones)
    ]
    return account.answers("ec2", "describe_subnets", {"Subnets": subnets})


def warehouse_names(namespace: bool, workgroup: bool) -> Account:
    account = Account()
    for kind, is_there in (("namespace", namespace), ("workgroup", workgroup)):
        if is_there:
            account.answers("redshift-serverless", f"get_{kind}", {kind: {}})
        else:
            account.refuses("redshift-serverless", f"get_{kind}", "ResourceNotFoundException")
    return account


def workgroups(number: int, quota: int | None) -> Account:
    account = Account()
    many = [{"workgroupName": f"workgroup-{n}"} for n in range(number)]
    account.answers("redshift-serverless", "list_workgroups", {"workgroups": many})
    if quota is None:
        return account.refuses("service-quotas", "list_service_quotas", "NoSuchResourceException")
    quotas = [{"QuotaName": "Namespaces", "Value": 1}, {"QuotaName": "Workgroups", "Value": quota}]
    return account.answers("service-quotas", "list_service_quotas", {"Quotas": quotas})


def concurrency(free: int) -> Account:
    limit = {"UnreservedConcurrentExecutions": free}
    return Account().answers("lambda", "get_account_settings", {"AccountLimit": limit})


def roles(used: int) -> Account:
    summary = {"Roles": used, "RolesQuota": 1000}
    return Account().answers("iam", "get_account_summary", {"SummaryMap": summary})


def lake_formation(*permissions: str) -> Account:
    to_all = [
        {
            "Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"},
            "Permissions": list(permissions),
        }
    ]
    settings = {"CreateDatabaseDefaultPermissions": to_all, "CreateTableDefaultPermissions": to_all}
    answer = {"DataLakeSettings": settings if permissions else {}}
    return Account().answers("lakeformation", "get_data_lake_settings", answer)


def key(state: str = "Enabled", services: str = "s3 cloudwatch logs.us-east-1") -> Account:
    metadata = {"KeyId": "1-2", "KeyState": state, "KeyUsage": "ENCRYPT_DECRYPT"}
    names = [f"{service}.amazonaws.com" for service in services.split()]
    return (
        Account(KmsKeyArn=KEY)
        .answers("kms", "describe_key", {"KeyMetadata": metadata})
        .answers("kms", "get_key_policy", {"Policy": json.dumps(names)})
    )


def workgroup(status: str | None) -> Account:
    known = (
        [{"workgroupArn": WORKGROUP, "status": status, "namespaceName": "theirs"}] if status else []
    )
    account = Account(**OF_WORKGROUP)
    return account.answers("redshift-serverless", "list_workgroups", {"workgroups": known})


def cluster(status: str, *attached: str) -> Account:
    roles = [{"IamRoleArn": arn} for arn in attached]
    answer = {"Clusters": [{"ClusterStatus": status, "IamRoles": roles}]}
    return Account(**OF_CLUSTER).answers("redshift", "describe_clusters", answer)


def secret(text: str, key: str = "", **given: str) -> Account:
    return (
        Account(**(given or OF_CLUSTER))
        .answers("secretsmanager", "get_secret_value", {"SecretString": text})
        .answers("secretsmanager", "describe_secret", {"KmsKeyId": key} if key else {})
    )


def asked(
    superuser: bool = True, isolation: str = "Snapshot Isolation", schemas: int = 0, error: str = ""
) -> Account:
    account = Account(**OF_WORKGROUP).answers("redshift-data", "execute_statement", {"Id": "s"})
    for status in ("SUBMITTED", "FAILED" if error else "FINISHED"):
        answer = {"Id": "s", "Status": status, **({"Error": error} if error else {})}
        account.answers("redshift-data", "describe_statement", answer)
    row = [{"booleanValue": superuser}, {"stringValue": isolation}, {"longValue": schemas}]
    if error:
        return account
    return account.answers("redshift-data", "get_statement_result", {"Records": [row]})


def namespace_with(*attached: str) -> Account:
    account = workgroup("AVAILABLE").deployed()
    listed = [f"IamRole(applyStatus=in-sync, iamRoleArn={arn})" for arn in attached]
    return account.answers(
        "redshift-serverless", "get_namespace", {"namespace": {"iamRoles": listed}}
    )


SECRET_FIELDS = {
    "username": "a",
    "password": "b",
    "engine": "redshift",
    "host": "h",
    "port": 5439,
    "dbname": "dev",
}
FULL_SECRET = json.dumps(SECRET_FIELDS)
CLUSTERS_SECRET = json.dumps({**SECRET_FIELDS, "dbClusterIdentifier": "x"})
OTHERS_KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/3-4"
ACC, WH = account_checks, warehouse_checks
GREEN, AMBER, RED = State.GREEN, State.AMBER, State.RED

# Each check with an account, what the check has to find there, and words of what it says.
CASES: list[tuple[Callable[[Any], Result], Account, State, str]] = [
    (ACC.stack_name, Account(), GREEN, STACK),
    (ACC.stack_name, Account("a" * 26), RED, "26 characters, and 25"),
    (ACC.stack_name, Account("Pipeline"), RED, "upper-case"),
    (ACC.stack_name, Account("pipe--line"), RED, "single hyphens"),
    (ACC.stack_name, Account("ab"), RED, "too short"),
    (ACC.parameters, Account(), GREEN, "0 given"),
    (ACC.parameters, Account(**OF_CLUSTER, BaseCapacity="8"), GREEN, "3 given, each as it may be"),
    (
        ACC.parameters,
        Account(SuportEmail="a@b.c"),
        RED,
        "no parameter of the template: SupportEmail?",
    ),
    (
        ACC.parameters,
        Account(SupportEmail="a b@c.d"),
        RED,
        "SupportEmail may not be a b@c.d. Leave",
    ),
    (ACC.parameters, Account(BaseCapacity="9"), RED, "BaseCapacity may be 4, 8, 16"),
    (ACC.parameters, Account(SweepMinutes="1"), RED, "at least 2 and at most 1440, not 1"),
    (ACC.parameters, Account(WaitingMinutes="soon"), RED, "WaitingMinutes is a number, not soon"),
    (ACC.region, Account(), GREEN, "us-east-1"),
    (ACC.region, Account(region="me-south-1"), AMBER, "knows of no Redshift Serverless"),
    (ACC.region, Account(region="me-south-1", ClusterArn=CLUSTER), GREEN, "me-south-1"),
    (ACC.region, Account(region=None), RED, "None is set"),
    (ACC.credentials, Account(), GREEN, f"Account {ACCOUNT}, as assumed-role/admin/me"),
    (
        ACC.credentials,
        Account().forgets("caller").refuses("sts", "get_caller_identity", "ExpiredToken"),
        RED,
        "AWS refuses them: ExpiredToken",
    ),
    (ACC.stack, Account(), GREEN, "will be made"),
    (ACC.stack, stack_is("UPDATE_COMPLETE"), GREEN, "will be updated"),
    (ACC.stack, stack_is("REVIEW_IN_PROGRESS"), GREEN, "REVIEW_IN_PROGRESS"),
    (ACC.stack, stack_is("UPDATE_IN_PROGRESS"), AMBER, "Somebody is at it"),
    (ACC.stack, stack_is("ROLLBACK_COMPLETE"), RED, "cannot be deployed onto"),
    (ACC.stack, stack_is("UPDATE_ROLLBACK_FAILED"), RED, "UPDATE_ROLLBACK_FAILED"),
    (ACC.buckets, buckets_are("404", "404"), GREEN, "Both names are free"),
    (
        ACC.buckets,
        Account().deployed(
            RawBucket=f"{STACK}-raw-{ACCOUNT}-us-east-1",
            ArchiveBucket=f"{STACK}-archive-{ACCOUNT}-us-east-1",
        ),
        GREEN,
        "Both are the stack's",
    ),
    (ACC.buckets, buckets_are("404", ""), RED, f"{STACK}-archive-{ACCOUNT}-us-east-1 exists"),
    (ACC.buckets, buckets_are("301", "404"), RED, "in another region"),
    (ACC.buckets, buckets_are("403", "404"), AMBER, "HeadBucket answers status 403"),
    (ACC.buckets, buckets_are("SlowDown"), AMBER, "HeadBucket answers SlowDown"),
    (ACC.warehouse_name, warehouse_names(False, False), GREEN, "Free"),
    (ACC.warehouse_name, warehouse_names(True, False), RED, f"a namespace {STACK} already"),
    (ACC.warehouse_name, warehouse_names(True, True), RED, "a namespace and a workgroup"),
    (
        ACC.warehouse_name,
        Account().deployed(WarehouseNamespace=STACK, WarehouseWorkgroup=STACK),
        GREEN,
        "The stack's own",
    ),
    (
        ACC.catalog,
        Account().refuses("glue", "get_database", "EntityNotFoundException"),
        GREEN,
        "redshift_pipeline_dev is free",
    ),
    (ACC.catalog, Account().deployed(GlueDatabase="redshift_pipeline_dev"), GREEN, "the stack's"),
    (
        ACC.catalog,
        Account().answers("glue", "get_database", {"Database": {"Name": "x"}}),
        RED,
        "not of this stack",
    ),
    (ACC.subnets, subnets_in("a", "b", "c"), GREEN, "3 subnets in 3 zones"),
    (ACC.subnets, subnets_in("a", "b", "c", SubnetIds="subnet-0,subnet-1,subnet-2"), GREEN, "3"),
    (ACC.subnets, subnets_in("a", "c"), AMBER, "2 subnets in 2 zones"),
    (ACC.subnets, subnets_in("a", "a", "a"), RED, "1 zones; a workgroup needs 3"),
    (ACC.subnets, subnets_in("a", "b", "c", free=2), RED, "fewer than 3 free addresses"),
    (
        ACC.subnets,
        subnets_in("a", "b", "c", vpcs="vw", SubnetIds="subnet-0,subnet-1,subnet-2"),
        RED,
        "several VPCs: v, w",
    ),
    (ACC.subnets, Account().answers("ec2", "describe_vpcs", {"Vpcs": []}), RED, "no default VPC"),
    (
        ACC.subnets,
        Account(SubnetIds="subnet-9").refuses(
            "ec2",
            "describe_subnets",
            "InvalidSubnetID.NotFound",
            "The subnet ID 'subnet-9' does not exist",
        ),
        RED,
        "'subnet-9' does not exist",
    ),
    (ACC.workgroups, workgroups(3, 25), GREEN, "3 of 25"),
    (ACC.workgroups, workgroups(3, None), GREEN, "3 of 25"),
    (ACC.workgroups, workgroups(25, None), AMBER, "25 is the default"),
    (ACC.workgroups, workgroups(30, 30), RED, "30 of 30"),
    (ACC.concurrency, concurrency(1000), GREEN, "1000"),
    (ACC.concurrency, concurrency(10), AMBER, "10 functions may run at once"),
    (ACC.concurrency, concurrency(5), RED, "the pipeline needs 6"),
    (ACC.roles, roles(10), GREEN, "10 of 1,000"),
    (ACC.roles, roles(950), AMBER, "950 of 1,000"),
    (ACC.roles, roles(993), RED, "the stack makes 8"),
    (ACC.lake_formation, lake_formation("ALL"), GREEN, "IAM alone decides"),
    (ACC.lake_formation, lake_formation("DESCRIBE"), AMBER, "governs new databases and tables"),
    (ACC.lake_formation, lake_formation(), AMBER, "governs new databases and tables"),
    (ACC.key, key(), GREEN, "Enabled"),
    (ACC.key, key("PendingDeletion"), RED, "PendingDeletion"),
    (ACC.key, key(services="s3"), RED, "no cloudwatch.amazonaws.com and no logs.us-east-1"),
    (
        ACC.key,
        Account(KmsKeyArn=KEY).refuses("kms", "describe_key", "NotFoundException"),
        RED,
        "There is none",
    ),
    (
        ACC.boundary,
        Account(PermissionsBoundaryArn=BOUNDARY).answers("iam", "get_policy", {"Policy": {}}),
        GREEN,
        "policy/bound",
    ),
    (
        ACC.boundary,
        Account(PermissionsBoundaryArn=BOUNDARY).refuses("iam", "get_policy", "NoSuchEntity"),
        RED,
        "There is no policy",
    ),
    (ACC.mails, Account(SupportEmail="a@b.c", BusinessEmail="d@e.f"), GREEN, "have an address"),
    (ACC.mails, Account(), AMBER, "a failed load, and nobody hears of new data"),
    (ACC.mails, Account(BusinessEmail="d@e.f"), AMBER, "nobody hears of a failed load"),
    (ACC.mails, Account(SupportEmail="a@b.c"), AMBER, "nobody hears of new data"),
    (WH.your_warehouse, workgroup("AVAILABLE"), GREEN, "Available"),
    (WH.your_warehouse, cluster("available"), GREEN, "Available"),
    (WH.your_warehouse, workgroup("MODIFYING"), AMBER, "modifying"),
    (WH.your_warehouse, workgroup(None), RED, "none of that ARN"),
    (
        WH.your_warehouse,
        Account(**OF_CLUSTER).refuses("redshift", "describe_clusters", "ClusterNotFound"),
        RED,
        "none of that ARN",
    ),
    (WH.your_warehouse, cluster("paused"), RED, "paused"),
    (WH.your_warehouse, Account(WorkgroupArn=WORKGROUP, ClusterArn=CLUSTER), RED, "and ClusterArn"),
    (WH.your_warehouse, Account(ClusterArn=CLUSTER), RED, "WarehouseSecretArn is not given"),
    (WH.your_warehouse, Account(region="eu-west-1", **OF_CLUSTER), RED, "eu-west-1"),
    (WH.secret, secret(FULL_SECRET), GREEN, "username, password"),
    (WH.secret, secret('{"username": "a", "password": "b"}'), AMBER, "engine, host, port, dbname"),
    (WH.secret, secret('{"username": "a"}'), RED, "lacks password"),
    (WH.secret, secret("a:b"), RED, "lacks username and password"),
    (
        WH.secret,
        secret(CLUSTERS_SECRET),
        RED,
        "the cluster warehouse",
    ),
    (WH.secret, secret(FULL_SECRET, OTHERS_KEY), RED, "may not use"),
    (WH.secret, secret(FULL_SECRET, KEY, **OF_CLUSTER, KmsKeyArn=KEY), GREEN, "Has"),
    (
        WH.secret,
        Account(**OF_CLUSTER).refuses(
            "secretsmanager", "get_secret_value", "ResourceNotFoundException"
        ),
        RED,
        "none of WarehouseSecretArn",
    ),
    (WH.login, asked(), GREEN, "as an administrator"),
    (WH.login, asked(schemas=2), AMBER, "another pipeline"),
    (WH.login, asked(superuser=False), RED, "no administrator"),
    (WH.login, asked(error="FATAL: password authentication failed"), RED, "authentication failed"),
    (WH.isolation_level, asked(), GREEN, "Snapshot Isolation"),
    (WH.isolation_level, asked(isolation="Serializable"), AMBER, "error 1023"),
    (WH.isolation_level, asked(error="FATAL: x"), AMBER, "nobody could log in"),
    (WH.spectrum_role, Account(**OF_WORKGROUP), AMBER, "The deployment makes it"),
    (WH.spectrum_role, namespace_with("arn:aws:iam::1:role/x", ROLE), GREEN, "Attached"),
    (WH.spectrum_role, cluster("available", ROLE).deployed(), GREEN, "Attached"),
    (WH.spectrum_role, cluster("available").deployed(), RED, "Not attached"),
    (WH.spectrum_role, namespace_with("arn:aws:iam::1:role/x"), RED, "Not attached"),
]
# What no answer of AWS's makes fail a deployment, or none leaves open.
NEVER_RED = {"mails", "isolation_level", "lake_formation"}
NEVER_AMBER = {"stack_name", "parameters", "credentials"}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse_checks, "POLL_SECONDS", 0)


@pytest.mark.parametrize(
    "number",
    range(len(CASES)),
    ids=[f"{check.__name__}-{state}-{words}" for check, _, state, words in CASES],
)
def test_check_finds(number: int) -> None:
    check, _, state, words = CASES[number]
    result = finding(number)

    assert result.state is state, result
    assert words in result.text
    assert result.name == check.__name__.replace("_", " ")
    # Who reads amber or red is told what to do, unless it is that nobody could be asked.
    assert result.next_step or state is GREEN or result.text.startswith("Could not ask")


def each_check() -> Iterator[Callable[[Any], Result]]:
    for module in (account_checks, warehouse_checks):
        for name, check in vars(module).items():
            is_check = getattr(check, "__annotations__", {}).get("return") is Result
            if is_check and check.__module__ == module.__name__ and not name.startswith("_"):
                yield check


@pytest.mark.parametrize("check", list(each_check()), ids=lambda check: check.__name__)
def test_each_state_of_each_check_is_tested(check: Callable[[Any], Result]) -> None:
    tested = {state for one, _, state, _ in CASES if one is check}
    if check.__name__ not in NEVER_AMBER:
        # test_question_that_nobody_answers_is_never_green shows it.
        tested.add(AMBER)

    assert tested == set(State) - {
        state
        for state, never in ((RED, NEVER_RED), (AMBER, NEVER_AMBER))
        if check.__name__ in never
    }


@pytest.mark.parametrize(
    ("check", "service", "operation"),
    [
        (ACC.stack, "cloudformation", "describe_stacks"),
        (ACC.buckets, "s3", "head_bucket"),
        (ACC.warehouse_name, "redshift-serverless", "get_namespace"),
        (ACC.catalog, "glue", "get_database"),
        (ACC.subnets, "ec2", "describe_vpcs"),
        (ACC.workgroups, "redshift-serverless", "list_workgroups"),
        (ACC.concurrency, "lambda", "get_account_settings"),
        (ACC.roles, "iam", "get_account_summary"),
        (ACC.lake_formation, "lakeformation", "get_data_lake_settings"),
        (ACC.key, "kms", "describe_key"),
        (ACC.boundary, "iam", "get_policy"),
        (WH.your_warehouse, "redshift-serverless", "list_workgroups"),
        (WH.secret, "secretsmanager", "get_secret_value"),
        (WH.login, "redshift-data", "execute_statement"),
        (WH.isolation_level, "redshift-data", "execute_statement"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_question_that_nobody_answers_is_never_green(
    check: Callable[[Any], Result], service: str, operation: str
) -> None:
    account = Account(**OF_WORKGROUP, KmsKeyArn=KEY, PermissionsBoundaryArn=BOUNDARY)
    if operation == "describe_stacks":
        account.forgets("existing")
    result = found(check, account.refuses(service, operation, "ThrottlingException"))

    assert result.state is AMBER
    assert re.fullmatch(r"Could not ask: \w+ answers ThrottlingException\.", result.text)


def test_missing_credentials_are_red(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account().forgets("caller")

    def get_caller_identity() -> None:
        raise NoCredentialsError

    monkeypatch.setattr(
        account.deployment.client("sts"), "get_caller_identity", get_caller_identity
    )
    result = found(ACC.credentials, account)

    assert (result.state, result.text) == (RED, "Unable to locate credentials.")


def test_nothing_is_asked_without_credentials() -> None:
    account = Account().forgets("caller").refuses("sts", "get_caller_identity", "ExpiredToken")

    names = [result.name for result in preflight.results(account.asked())]

    assert names == ["stack name", "parameters", "region", "credentials"]


def test_names_are_not_looked_up_for_a_stack_that_cannot_be_called_so() -> None:
    account = Account("Pipeline").refuses("ec2", "describe_vpcs", "UnauthorizedOperation")

    names = [result.name for result in preflight.results(account.asked(), quick=True)]

    assert names == ["stack name", "parameters", "region", "credentials", "subnets"]


def test_stack_that_is_there_keeps_its_parameters() -> None:
    known = [{"ParameterKey": "SupportEmail", "ParameterValue": "a@b.c"}]
    account = Account(DatabaseName="x")
    account.has(existing={"StackStatus": "UPDATE_COMPLETE", "Parameters": known})

    assert account.deployment.parameter("SupportEmail") == "a@b.c"
    assert account.deployment.parameter("DatabaseName") == "x"


def test_defaults_are_those_of_the_template() -> None:
    for name in TEMPLATE["Parameters"]:
        default = str(TEMPLATE["Parameters"][name].get("Default", ""))
        asked = (ROOT / "tools").glob("*_checks.py")
        if any(f'"{name}"' in path.read_text() for path in asked):
            assert Account().deployment.parameter(name) == default, name


def test_numbers_are_those_of_the_template() -> None:
    resources = TEMPLATE["Resources"].values()
    roles = [body for body in resources if body["Type"] == "AWS::IAM::Role"]
    functions = [body for body in resources if body["Type"] == "AWS::Serverless::Function"]
    at_once = [
        event["Properties"]["ScalingConfig"]["MaximumConcurrency"]
        for function in functions
        for event in function["Properties"].get("Events", {}).values()
        if "ScalingConfig" in event["Properties"]
    ]

    assert len(roles) == account_checks.ROLES
    assert len(functions) - len(at_once) + sum(at_once) == account_checks.FUNCTIONS_AT_ONCE


def test_samconfig_and_options_make_the_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "samconfig.toml"
    config.write_text(
        "version = 0.1\n[dev.deploy.parameters]\nstack_name = 'p-dev'\nregion = 'eu-west-1'\n"
        "parameter_overrides = 'BaseCapacity=16 SupportEmail=\"a@b.c\"'\n"
        "[prod.global.parameters]\nstack_name = 'p-prod'\n"
        "[prod.deploy.parameters]\nparameter_overrides = ['BaseCapacity=16']\n"
    )
    monkeypatch.setattr(deployments, "SAMCONFIG", config)
    deployments._samconfig.cache_clear()
    try:
        dev = deployments.of_environment("dev", overrides=["BaseCapacity=32"])
        prod = deployments.of_environment("prod", region="us-west-2")
        other = deployments.of_environment(
            "prod", overrides=["ParameterKey=BaseCapacity,ParameterValue=64"]
        )
        with pytest.raises(StackError, match="takes NAME=VALUE, not 'SupportEmail'"):
            deployments.of_environment("dev", overrides=["SupportEmail", "a@b.c"])
        with pytest.raises(StackError, match="no environment 'test', but dev, prod"):
            deployments.of_environment("test")
    finally:
        deployments._samconfig.cache_clear()

    assert (dev.stack, dev.region) == ("p-dev", "eu-west-1")
    assert dev.given == {"BaseCapacity": "32", "SupportEmail": "a@b.c"}
    assert (prod.stack, prod.region) == ("p-prod", "us-west-2")
    assert prod.given == {"BaseCapacity": "16"}
    assert other.given == {"BaseCapacity": "64"}


def test_options_of_sam_that_say_nothing_are_passed_over() -> None:
    arguments = "--role-arn arn:x --parameter-overrides SupportEmail=a@b.c --no-confirm-changeset"
    options = preflight.parsed(["--env", "dev", *arguments.split()])

    assert options.parameter_overrides == ["SupportEmail=a@b.c"]


def test_unknown_environment_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight.main(["--env", "test"]) == 1
    assert "no environment 'test', but dev, prod." in capsys.readouterr().err


def deployment_is(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "of_environment", lambda *_: account.asked())


def test_red_ends_with_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment_is(Account(region=None), monkeypatch)

    assert preflight.main(["--env", "dev"]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"{STACK}: what would a deployment meet?\n\ngreen  stack name")
    assert out.endswith("2 green, 0 amber, 1 red\n")


def test_quick_is_silent_where_nothing_is_red(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account = buckets_are("404", "404").refuses("glue", "get_database", "AccessDeniedException")
    account.refuses("redshift-serverless", "get_namespace", "AccessDeniedException")
    account.refuses("ec2", "describe_vpcs", "UnauthorizedOperation")
    deployment_is(account, monkeypatch)

    assert preflight.main(["--env", "dev", "--quick"]) == 0
    assert capsys.readouterr().out == ""


def test_quick_prints_what_is_red(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment_is(Account("Pipeline", region=None), monkeypatch)

    assert preflight.main(["--env", "dev", "--quick"]) == 1
    assert capsys.readouterr().out.count("red    ") == 2


def test_results_fit_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for number in range(len(CASES)):
        for line in checks.lines(finding(number)):
            # An ARN or a bucket's name longer than a line stays whole, so that it can be copied.
            assert len(line) <= 80 or max(map(len, line.split())) > 70, line


def test_commands_are_ones_that_their_programs_take() -> None:
    told = {finding(number).command for number in range(len(CASES))} - {""}
    assert len(told) > 10
    for command in told:
        if command.startswith("aws "):
            assert commands.faults(command) == [], command
        else:
            assert command.split()[0] in ("make", "export")
