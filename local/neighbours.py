"""What AWS checks of other resources when it makes one: roles, keys, queues, alarms.

MiniStack makes it all the same. A text in quotation marks is AWS's, from public reports.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, iam, kms, lambda_svc, sqs

from local import names, refusals

Properties = dict[str, Any]
Check = Callable[[str, Properties, str], Iterator[str]]

POLLER_ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
LOG_DELIVERY_ACTIONS = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
)
LOG_GROUP_NAME_CHARACTERS = 512
NO_PERMISSION = "The provided execution role does not have permissions"


def check(kind: str, logical_id: str, properties: Properties, stack: str) -> None:
    """Hold a resource against its neighbours. Raises Refused."""
    for one in CHECKS.get(kind, ()):
        for refusal in one(logical_id, properties, stack):
            raise refusals.Refused(refusal)


def destination_takes_notifications(_id: str, properties: Properties, _stack: str) -> Iterator[str]:
    """S3 sends a test message to each queue, under its policy and its key's."""
    configurations = properties.get("NotificationConfiguration", {}).get("QueueConfigurations", [])
    for configuration in configurations:
        bucket = f"arn:aws:s3:::{properties.get('BucketName', '')}"
        queue = configuration["Queue"]
        if not sqs.queue_policy_allows(queue, "s3.amazonaws.com", bucket, get_account_id()):
            yield "Unable to validate the following destination configurations"


def dead_letters_have_a_place(_id: str, properties: Properties, _stack: str) -> Iterator[str]:
    """SQS looks for the queue of dead letters ("Dead letter target does not exist")."""
    redrive = properties.get("RedrivePolicy")
    if redrive and sqs._queue_by_arn(redrive["deadLetterTargetArn"]) is None:
        yield "RedrivePolicy is invalid. Reason: Dead letter target does not exist."


def key_serves_the_log_group(logical_id: str, properties: Properties, stack: str) -> Iterator[str]:
    """CloudWatch Logs tries the key, with the group's ARN as encryption context."""
    key = properties.get("KmsKeyId")
    if not key:
        return
    made_up = names.prefix(stack, logical_id, LOG_GROUP_NAME_CHARACTERS) + "x"
    name = properties.get("LogGroupName") or made_up
    group = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{name}"
    found = kms.key_policy_for_arn(key)
    context = EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action="kms:GenerateDataKey",
        resource_arn=key,
        region=get_region(),
        service_context={"kms:encryptioncontext:aws:logs:arn": group},
    )
    service = f"logs.{get_region()}.amazonaws.com"
    if not found or not _allows(found[0], context, service):
        yield (
            "The specified KMS key does not exist or is not allowed to be used with LogGroup "
            f"'{group}'"
        )


def function_s_role_serves(_id: str, properties: Properties, _stack: str) -> Iterator[str]:
    """Lambda assumes the role, and asks of a traced function that it may write traces."""
    role = properties["Role"]
    if not _trusts(role, "lambda.amazonaws.com"):
        yield "The role defined for the function cannot be assumed by Lambda."
    is_traced = properties.get("TracingConfig", {}).get("Mode") == "Active"
    if is_traced and not _may(role, "xray:PutTraceSegments", "*"):
        yield f"{NO_PERMISSION} to call PutTraceSegments on XRAY"


def poller_may_poll(_id: str, properties: Properties, _stack: str) -> Iterator[str]:
    """Lambda asks for what its poller needs, and that messages stay hidden while it works."""
    source = properties.get("EventSourceArn", "")
    queue = sqs._queue_by_arn(source) if ":sqs:" in source else None
    if queue is None:
        return
    name = properties["FunctionName"].rpartition(":")[2]
    function = lambda_svc._functions[name]["config"]
    for action in POLLER_ACTIONS:
        if not _may(function["Role"], action, source):
            call = action.partition(":")[2]
            yield f"{NO_PERMISSION} to call {call} on SQS"
    hidden, works = int(queue["attributes"]["VisibilityTimeout"]), int(function["Timeout"])
    if hidden < works:
        yield (
            f"Queue visibility timeout: {hidden} seconds is less than Function timeout: {works} "
            "seconds"
        )


def machine_s_role_serves(_id: str, properties: Properties, _stack: str) -> Iterator[str]:
    """Step Functions assumes the role, and sets up the delivery of logs with it."""
    role = properties["RoleArn"]
    if not _trusts(role, "states.amazonaws.com"):
        yield (
            "Neither the global service principal states.amazonaws.com, nor the regional one is "
            "authorized to assume the provided role."
        )
    level = properties.get("LoggingConfiguration", {}).get("Level", "OFF")
    if level != "OFF" and not all(_may(role, action, "*") for action in LOG_DELIVERY_ACTIONS):
        yield "The state machine IAM Role is not authorized to access the Log Destination"


def alarms_of_the_rule_are_there(_id: str, properties: Properties, _stack: str) -> Iterator[str]:
    """API_PutCompositeAlarm: the rule names alarms that exist."""
    known = {*cloudwatch._alarms.keys(), *cloudwatch._composite_alarms.keys()}
    missing = refusals.children(properties["AlarmRule"]) - known
    if missing:
        yield f"AlarmRule: these alarms do not exist: {', '.join(sorted(missing))}"


def _trusts(role_arn: str, service: str) -> bool:
    role = iam._roles.get(role_arn.rpartition("/")[2])
    trust = json.loads(role["AssumeRolePolicyDocument"]) if role else {}
    return any(
        statement["Effect"] == "Allow"
        and service in refusals.as_list(statement.get("Principal", {}).get("Service", []))
        for statement in refusals.as_list(trust.get("Statement", []))
    )


def _may(role_arn: str, action: str, resource: str) -> bool:
    account, role = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    context = EvalContext(
        # Not a session of the role: nobody uses the permission now.
        principal_arn=role_arn,
        principal_type="Role",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        service_context={},
    )
    policies = iam_evaluator._gather_role_policies(role, account)
    return bool(iam_evaluator.evaluate(context, policies).decision == "Allow")


def _allows(policy: str, context: EvalContext, service: str) -> bool:
    result = iam_evaluator.evaluate_resource_policy(policy, context, service=service)
    return bool(result.decision == "Allow")


CHECKS: dict[str, tuple[Check, ...]] = {
    "AWS::CloudWatch::CompositeAlarm": (alarms_of_the_rule_are_there,),
    "AWS::Lambda::EventSourceMapping": (poller_may_poll,),
    "AWS::Lambda::Function": (function_s_role_serves,),
    "AWS::Logs::LogGroup": (key_serves_the_log_group,),
    "AWS::S3::Bucket": (destination_takes_notifications,),
    "AWS::SQS::Queue": (dead_letters_have_a_place,),
    "AWS::StepFunctions::StateMachine": (machine_s_role_serves,),
}
