"""Which role of delivery/github.yaml reaches what: its own stack, and no other of the account.

Every name that the template makes is held against every policy, with IAM's own logic: of two stacks
whose names begin alike, of a longer one, and of somebody who has nothing to do with either.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from tests.security.grants import listed
from tests.template.test_combinations import deployed
from tests.template.test_names import ACCOUNT, DELIVERY, MADE_UP, name_of, resolved

REGION = "us-east-1"
SHORT, LONG, NOBODY = "redshift-pipeline", "redshift-pipeline-prod", "payments"
# Words that names of the template hold, after which a stack could be called.
ODD = tuple(f"{SHORT}-{word}" for word in ("load", "raw", "dead", "needs", "abandoned-load"))
ROLES = ("ChangesRole", "DeployRole", "ExecutionRole", "Boundary")
TAG = "aws:resourcetag/pipeline-stack"
NEW_TAG = "aws:requesttag/pipeline-stack"
BY_NAME = {
    "AWS::CloudWatch::Alarm": "cloudwatch:{place}:alarm:{name}",
    "AWS::CloudWatch::CompositeAlarm": "cloudwatch:{place}:alarm:{name}",
    "AWS::CloudWatch::Dashboard": "cloudwatch::{account}:dashboard/{name}",
    "AWS::Events::Rule": "events:{place}:rule/{name}",
    "AWS::Glue::Database": "glue:{place}:database/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::Lambda::Function": "lambda:{place}:function:{name}",
    "AWS::Logs::LogGroup": "logs:{place}:log-group:{name}:*",
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::SNS::Topic": "sns:{place}:{name}",
    "AWS::SQS::Queue": "sqs:{place}:{name}",
    "AWS::SecretsManager::Secret": "secretsmanager:{place}:secret:{name}-a1b2c3",
    "AWS::StepFunctions::StateMachine": "states:{place}:stateMachine:{name}",
}
NAME_PROPERTIES = {
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::SecretsManager::Secret": "Name",
}
# What does harm, by service; of each the worst.
ACTIONS = {
    "cloudwatch": ["PutMetricAlarm", "DeleteAlarms", "PutDashboard"],
    "events": ["PutRule", "PutTargets", "DeleteRule"],
    "glue": ["UpdateDatabase", "DeleteDatabase"],
    "iam": ["PutRolePolicy", "PassRole", "UpdateAssumeRolePolicy", "DeleteRole", "CreateRole"],
    "lambda": ["UpdateFunctionCode", "AddPermission", "DeleteFunction", "InvokeFunction"],
    "logs": ["DeleteLogGroup", "GetLogEvents", "PutSubscriptionFilter"],
    "s3": ["GetObject", "PutObject", "DeleteObject", "PutBucketPolicy", "DeleteBucket"],
    "sns": ["Publish", "Subscribe", "DeleteTopic"],
    "sqs": ["SendMessage", "ReceiveMessage", "DeleteQueue"],
    "secretsmanager": ["GetSecretValue", "PutSecretValue", "DeleteSecret"],
    "states": ["StartExecution", "UpdateStateMachine", "DeleteStateMachine", "DescribeExecution"],
}
TAGGED = {
    f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k": {
        "kms:PutKeyPolicy": {},
        "kms:ScheduleKeyDeletion": {},
        "kms:UntagResource": {},
        "kms:Decrypt": {"kms:viaservice": f"secretsmanager.{REGION}.amazonaws.com"},
        "kms:CreateGrant": {"kms:viaservice": f"redshift-serverless.{REGION}.amazonaws.com"},
    },
    **{
        f"arn:aws:redshift-serverless:{REGION}:{ACCOUNT}:{kind}/w": {
            f"redshift-serverless:Update{kind.title()}": {},
            f"redshift-serverless:Delete{kind.title()}": {},
            "redshift-serverless:GetCredentials": {},
            "redshift-serverless:RestoreFromSnapshot": {},
            "redshift-data:ExecuteStatement": {},
        }
        for kind in ("namespace", "workgroup")
    },
}
# Somebody's key or warehouse without the tag: reached all the same, and why that is borne. What is
# encrypted under it are things of this stack; whoever runs a statement needs a login of the other.
BORNE = {
    "kms:CreateGrant": "through services, which act for what is named after this stack",
    "kms:Decrypt": "through services, which act for what is named after this stack",
    "redshift-data:ExecuteStatement": "a warehouse of yours has no tag, and asks for a login",
}


@dataclass(frozen=True)
class Request:
    action: str
    resource: str
    context: dict[str, str] = field(default_factory=dict, hash=False)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        return dict(deployed({})["Resources"])


def documents(role: str, stack: str) -> list[Any]:
    """What a role of the stack's delivery may do, as IAM reads it."""
    bodies = {name: body["Properties"] for name, body in DELIVERY["Resources"].items()}
    known = resolved(bodies, stack, REGION)
    own = known[role]
    attached = bodies[role].get("ManagedPolicyArns", [])
    names = [item.get("Ref") or item["Fn::If"][1]["Ref"] for item in attached]
    found = [known[name] for name in names] + [own, *own.get("Policies", [])]
    execution = f"arn:aws:iam::{ACCOUNT}:role/delivery/ExecutionRole-{stack}"
    return [
        parse_policy_document(filled(policy["PolicyDocument"], execution, stack))
        for policy in found
        if "PolicyDocument" in policy
    ]


def filled(value: Any, execution: str, stack: str) -> Any:
    """A policy with the rest of what it refers to put in."""
    match value:
        case {"Fn::GetAtt": ["Packages", _]}:
            return f"arn:aws:s3:::{stack}-packages-{ACCOUNT}-{REGION}"
        case {"Fn::GetAtt": _}:
            return execution
        case {"Fn::If": _}:
            return "arn:aws:secretsmanager:::secret:given"
        case {"Fn::Sub": [str(text), dict(names)]}:
            for name, part in names.items():
                text = text.replace(f"${{{name}}}", filled(part, execution, stack))
            return resolved({"Fn::Sub": text}, stack, REGION)
        case "?/*":
            return f"arn:aws:s3:::{stack}-packages-{ACCOUNT}-{REGION}/*"
        case dict():
            return {key: filled(item, execution, stack) for key, item in value.items()}
        case list():
            return [filled(item, execution, stack) for item in value]
    return f"boundary-of-{stack}" if value == "?" else value


def may(policies: list[Any], request: Request) -> bool:
    context = EvalContext(
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s",
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=request.action,
        resource_arn=request.resource,
        region=REGION,
        service_context=request.context,
    )
    return bool(evaluate(context, policies).decision == "Allow")


def named_requests(template: dict[str, Any], stack: str, role_of: str) -> Iterator[Request]:
    """What somebody could do to the resources of a stack that have its name in theirs."""
    place = f"{REGION}:{ACCOUNT}"
    boundary = {"iam:permissionsboundary": f"boundary-of-{role_of}"}
    for logical_id, body in resolved(template, stack, REGION).items():
        kind, properties = body["Type"], body["Properties"]
        if kind not in BY_NAME:
            continue
        if kind == "AWS::Glue::Database":
            name = properties["DatabaseInput"]["Name"]
        elif kind in NAME_PROPERTIES:
            # Without a name CloudFormation calls a secret after its logical id alone.
            name = properties.get(NAME_PROPERTIES[kind], logical_id)
        else:
            name = name_of(logical_id, body, stack)
        arn = "arn:aws:" + BY_NAME[kind].format(place=place, account=ACCOUNT, name=name)
        service = arn.split(":")[2]
        for action in ACTIONS[service]:
            context = {**boundary, "iam:passedtoservice": "lambda.amazonaws.com"}
            is_object = service == "s3" and action.endswith("Object")
            target = f"{arn}/raw/flights/a.csv" if is_object else arn
            if action == "DescribeExecution":
                target = arn.replace(":stateMachine:", ":execution:") + ":e"
            yield Request(f"{service}:{action}", target, context)
    stacks = f"arn:aws:cloudformation:{place}:stack/{stack}/1"
    for action in ("CreateChangeSet", "ExecuteChangeSet"):
        yield Request(f"cloudformation:{action}", stacks)
    table = resolved({"Fn::Join": ["_", {"Fn::Split": ["-", stack]}]}, stack, REGION)
    yield Request("glue:CreatePartition", f"arn:aws:glue:{place}:table/{table}/flights")
    packages = f"arn:aws:s3:::{stack}-packages-{ACCOUNT}-{REGION}/p"
    for action in ("GetObject", "PutObject"):
        yield Request(f"s3:{action}", packages)


def tagged_requests(tag: str) -> Iterator[Request]:
    """What somebody could do to keys and warehouses that have this tag; none where it is empty."""
    tags = {TAG: tag} if tag else {}
    for resource, actions in TAGGED.items():
        for action, context in actions.items():
            yield Request(action, resource, {**context, **tags})


def reached(role: str, stack: str, requests: Iterator[Request]) -> set[Request]:
    policies = documents(role, stack)
    return {request for request in requests if may(policies, request)}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("stack", "other"),
    [(SHORT, LONG), (LONG, SHORT), (SHORT, NOBODY), *((SHORT, odd) for odd in ODD)],
)
def test_names_of_another_stack_are_not_reached(
    template: dict[str, Any], role: str, stack: str, other: str
) -> None:
    assert reached(role, stack, named_requests(template, other, stack)) == set()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("stack", "other"), [(SHORT, LONG), (LONG, SHORT)])
def test_keys_and_warehouse_of_another_stack_are_not_reached(
    role: str, stack: str, other: str
) -> None:
    assert reached(role, stack, tagged_requests(other)) == set()


@pytest.mark.parametrize("role", ROLES)
def test_keys_and_warehouses_of_nobody_are_reached_as_far_as_is_borne(role: str) -> None:
    assert {r.action for r in reached(role, SHORT, tagged_requests(""))} <= BORNE.keys()


@pytest.mark.parametrize("stack", [SHORT, LONG])
def test_execution_role_reaches_its_own_stack(template: dict[str, Any], stack: str) -> None:
    elsewhere = {"states:DescribeExecution", "redshift-data:ExecuteStatement", "s3:PutObject"}
    elsewhere |= {"cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet"}
    requests = [*named_requests(template, stack, stack), *tagged_requests(stack)]
    lacking = {
        request
        for request in set(requests) - reached("ExecutionRole", stack, iter(requests))
        if request.action not in elsewhere
    }

    # A role for Redshift alone is handed to Redshift alone.
    assert {(r.action, r.resource.split("Role-")[0][-8:]) for r in lacking} == {
        ("iam:PassRole", "Spectrum")
    }


@pytest.mark.parametrize("service", ["kms", "redshift-serverless"])
def test_what_another_stack_has_tagged_is_not_claimed(service: str) -> None:
    policies = documents("ExecutionRole", SHORT)
    resource = next(arn for arn in TAGGED if f":{service}:" in arn)
    claims = {NEW_TAG: SHORT}

    assert not may(policies, Request(f"{service}:TagResource", resource, {**claims, TAG: LONG}))
    assert may(policies, Request(f"{service}:TagResource", resource, claims))


@pytest.mark.parametrize(
    "action",
    ["kms:CreateKey", "redshift-serverless:CreateNamespace", "redshift-serverless:CreateWorkgroup"],
)
def test_keys_and_warehouses_are_made_with_the_tag(action: str) -> None:
    policies = documents("ExecutionRole", SHORT)

    assert may(policies, Request(action, "*", {NEW_TAG: SHORT}))
    assert not may(policies, Request(action, "*", {NEW_TAG: LONG}))
    assert not may(policies, Request(action, "*"))


OWN_ROLE = f"arn:aws:iam::{ACCOUNT}:role/{SHORT}-LoadRole-XXXXXXXXXXXX"
SPECTRUM = f"arn:aws:iam::{ACCOUNT}:role/{SHORT}-SpectrumRole-XXXXXXXXXXXX"
DELIVERY_ROLE = f"arn:aws:iam::{ACCOUNT}:role/delivery/deliver-DeployRole-XXXXXXXXXXXX"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/delivery/deliver-Boundary-XXXXXXXXXXXX"
OWN_STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{SHORT}/1"
BOUNDED = {"iam:permissionsboundary": f"boundary-of-{SHORT}"}
IN_ITS_ROLE = {
    "cloudformation:rolearn": f"arn:aws:iam::{ACCOUNT}:role/delivery/ExecutionRole-{SHORT}"
}


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("iam:CreateRole", OWN_ROLE, {}),
        ("iam:CreateRole", OWN_ROLE, {"iam:permissionsboundary": "another"}),
        ("iam:PutRolePolicy", OWN_ROLE, {}),
        ("iam:PutRolePermissionsBoundary", OWN_ROLE, {"iam:permissionsboundary": "another"}),
        ("iam:DeleteRolePermissionsBoundary", OWN_ROLE, BOUNDED),
        ("iam:AttachRolePolicy", OWN_ROLE, BOUNDED),
        ("iam:CreatePolicyVersion", BOUNDARY, {}),
        ("iam:UpdateAssumeRolePolicy", DELIVERY_ROLE, {}),
        ("iam:PutRolePolicy", DELIVERY_ROLE, BOUNDED),
        ("iam:PassRole", DELIVERY_ROLE, {"iam:passedtoservice": "lambda.amazonaws.com"}),
        ("iam:PassRole", OWN_ROLE, {"iam:passedtoservice": "ec2.amazonaws.com"}),
        ("iam:PassRole", OWN_ROLE, {"iam:passedtoservice": "s3.amazonaws.com"}),
        ("iam:PassRole", SPECTRUM, {"iam:passedtoservice": "ec2.amazonaws.com"}),
        ("iam:PassRole", SPECTRUM, {"iam:passedtoservice": "lambda.amazonaws.com"}),
        ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/u", BOUNDED),
        ("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/u", {}),
        ("iam:CreateServiceLinkedRole", f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ec2/r", {}),
        ("sts:AssumeRole", DELIVERY_ROLE, {}),
        ("lambda:GetLayerVersion", f"arn:aws:lambda:{REGION}:210987654321:layer:evil:1", {}),
        ("lambda:CreateEventSourceMapping", "*", {}),
        ("cloudformation:CreateStack", f"{OWN_STACK}", {}),
        ("cloudformation:CreateChangeSet", f"{OWN_STACK}", IN_ITS_ROLE),
        ("cloudformation:SetStackPolicy", f"{OWN_STACK}", {}),
        ("kms:Decrypt", next(iter(TAGGED)), {TAG: SHORT}),
        ("kms:ReplicateKey", next(iter(TAGGED)), {TAG: SHORT}),
    ],
)
def test_execution_role_has_no_way_to_more(
    action: str, resource: str, context: dict[str, str]
) -> None:
    assert not may(documents("ExecutionRole", SHORT), Request(action, resource, context))


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("cloudformation:ExecuteChangeSet", OWN_STACK, {}),
        ("cloudformation:UpdateStack", OWN_STACK, IN_ITS_ROLE),
        ("cloudformation:DeleteStack", OWN_STACK, IN_ITS_ROLE),
        ("cloudformation:CreateChangeSet", OWN_STACK, {}),
        ("cloudformation:CreateChangeSet", OWN_STACK, {"cloudformation:rolearn": DELIVERY_ROLE}),
        (
            "cloudformation:CreateChangeSet",
            OWN_STACK,
            {**IN_ITS_ROLE, "cloudformation:importresourcetypes": "AWS::KMS::Key"},
        ),
        (
            "cloudformation:CreateChangeSet",
            f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:transform/Evil",
            IN_ITS_ROLE,
        ),
        (
            "iam:PassRole",
            IN_ITS_ROLE["cloudformation:rolearn"],
            {"iam:passedtoservice": "lambda.amazonaws.com"},
        ),
        ("s3:DeleteObjectVersion", f"arn:aws:s3:::{SHORT}-packages-{ACCOUNT}-{REGION}/p", {}),
        ("s3:PutBucketVersioning", f"arn:aws:s3:::{SHORT}-packages-{ACCOUNT}-{REGION}", {}),
    ],
)
def test_who_makes_change_sets_does_no_more(
    action: str, resource: str, context: dict[str, str]
) -> None:
    assert not may(documents("ChangesRole", SHORT), Request(action, resource, context))


def test_change_sets_are_made_in_the_role_of_the_stack() -> None:
    request = Request("cloudformation:CreateChangeSet", OWN_STACK, IN_ITS_ROLE)

    assert may(documents("ChangesRole", SHORT), request)


def test_no_pattern_covers_a_longer_name() -> None:
    """Whatever stands behind a stack's name cannot stand in a name, or is the whole of it."""
    for name, body in DELIVERY["Resources"].items():
        for text in strings(body):
            assert "${StackName}-*" not in text, name


def strings(value: Any) -> Iterator[str]:
    for part in listed(value):
        if isinstance(part, dict):
            for item in part.values():
                yield from strings(item)
        elif isinstance(part, list):
            yield from strings(part)
        elif isinstance(part, str):
            yield part


def test_kinds_with_names_are_all_looked_at(template: dict[str, Any]) -> None:
    kinds = {body["Type"] for body in template.values()}

    assert {*MADE_UP, "AWS::SecretsManager::Secret"} <= {*BY_NAME} & kinds
