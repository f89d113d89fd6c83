"""What a call needs permission for, as AWS asks it, and a log of every answer.

MiniStack asks for the action of a request. AWS asks for all that the request needs: the database
and the catalog of a Glue table, the key of whatever is encrypted, the tags that travel with a copy.
Nothing is encrypted here; who may use which key is told all the same.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from ministack.core import iam_actions, iam_evaluator
from ministack.core.iam_evaluator import EvalContext
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, kms, lambda_svc, s3, secretsmanager, sns, sqs, tagging
from ministack.services.cloudformation import provisioners

from local.grants import Grant

READ, WRITE = "kms:Decrypt", "kms:GenerateDataKey"

# What an action on something encrypted does with its key. SQS and SNS read back the data key that
# they have made.
KEY_USES = {
    "s3:GetObject": (READ,),
    "s3:GetObjectVersion": (READ,),
    "s3:PutObject": (WRITE,),
    "secretsmanager:GetSecretValue": (READ,),
    "secretsmanager:PutSecretValue": (READ, WRITE),
    "sns:Publish": (READ, WRITE),
    "sqs:ReceiveMessage": (READ,),
    "sqs:SendMessage": (READ, WRITE),
}


class AccessLog:
    """The grants to roles that were used, each with its callers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: dict[Grant, set[str]] = {}

    def install(self) -> None:
        """Listen to what is decided by the policies of identities."""
        stock = iam_evaluator.evaluate

        def evaluate(context: EvalContext, policies: Any, *limits: Any) -> Any:
            result = stock(context, policies, *limits)
            if result.decision == "Allow" and ":assumed-role/" in context.principal_arn:
                self._note(context, policies)
            return result

        iam_evaluator.evaluate = evaluate

    def uses(self) -> dict[Grant, frozenset[str]]:
        """The grants that allowed a call since the beginning, and the callers."""
        with self._lock:
            return {grant: frozenset(callers) for grant, callers in self._uses.items()}

    def _note(self, context: EvalContext, policies: Any) -> None:
        role, caller = context.principal_arn.split(":assumed-role/")[1].split("/", 1)
        grants = list(_granting(role, context, policies))
        with self._lock:
            for grant in grants:
                self._uses.setdefault(grant, set()).add(caller)


def _granting(role: str, context: EvalContext, policies: Any) -> Iterator[Grant]:
    for statement in (statement for policy in policies for statement in policy):
        if statement.effect == "Allow" and iam_evaluator._conditions_met(
            statement.conditions, context
        ):
            asks_via = any("kms:ViaService" in keys for keys in statement.conditions.values())
            via = context.service_context.get("kms:viaservice", "") if asks_via else ""
            for action in statement.actions:
                for resource in statement.resources:
                    if iam_evaluator._action_matches(
                        context.action, [action], []
                    ) and iam_evaluator._resource_matches(context.resource_arn, [resource], []):
                        yield Grant(role, statement.sid, action, resource, via)


def ask_for_all_that_a_call_needs() -> None:
    """Let a request through only where everything that it needs is allowed."""
    _name_glue_tables()
    _ask_for_tags_of_copies()
    _tell_how_change_sets_are_made()
    stock = iam_evaluator.enforce

    def enforce(
        access_key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        denied = stock(access_key, action, service, region, resource_arn, service_context)
        for needed in _needed_too(action, resource_arn, region):
            if not denied:
                request = (needed.action, needed.service, region, needed.resource, needed.context)
                denied = stock(access_key, *request)
        return denied

    iam_evaluator.enforce = enforce


def ask_services_for_keys() -> None:
    """Let a service deliver to an encrypted queue or topic only where the key's policy lets it."""
    sqs.queue_policy_allows = _with_key(sqs.queue_policy_allows)
    sns.topic_policy_allows = _with_key(sns.topic_policy_allows)
    dispatch = cloudwatch._dispatch_alarm_actions

    def dispatch_alarm_actions(alarm: dict[str, Any], *rest: Any) -> None:
        # The stock one asks nobody.
        actions = [arn for arn in alarm.get("AlarmActions") or [] if _alarm_may(alarm, arn)]
        dispatch({**alarm, "AlarmActions": actions}, *rest)

    cloudwatch._dispatch_alarm_actions = dispatch_alarm_actions


def keep_keys_of_stacks() -> None:
    """Have CloudFormation note the keys of buckets and topics, which the stock one passes over."""
    handlers = provisioners._RESOURCE_HANDLERS
    for kind, keep in (("AWS::S3::Bucket", _keep_bucket_key), ("AWS::SNS::Topic", _keep_topic_key)):
        handlers[kind] = {**handlers[kind], **_keeping(handlers[kind], keep)}


def ask_for_the_poller() -> None:
    """Take messages out of a queue for a function only where the function's role may.

    Lambda polls with that role; the stock poller asks nobody.
    """
    receive = sqs._receive_messages_for_esm
    delete = sqs._delete_messages_for_esm

    def receive_messages(queue_url: str, most: int) -> Any:
        actions = ("sqs:GetQueueAttributes", "sqs:ReceiveMessage")
        return receive(queue_url, most) if _poller_may(queue_url, actions) else []

    def delete_messages(queue_url: str, handles: set[str]) -> None:
        if _poller_may(queue_url, ("sqs:DeleteMessage",)):
            delete(queue_url, handles)

    sqs._receive_messages_for_esm = receive_messages
    sqs._delete_messages_for_esm = delete_messages


def _poller_may(queue_url: str, actions: tuple[str, ...]) -> bool:
    queue = sqs._queues[queue_url]["attributes"]["QueueArn"]
    roles = {
        lambda_svc._functions[source["FunctionName"]]["config"]["Role"]
        for _, _, source in lambda_svc._iter_all_esms()
        if source.get("EventSourceArn") == queue
    }
    return all(
        role_may(role, "EventSourceMapping", needed)
        for role in roles
        for action in actions
        for needed in (
            Needed(action, "sqs", queue, {}),
            *_needed_too(action, queue, get_region()),
        )
    )


@dataclass(frozen=True)
class Needed:
    action: str
    service: str
    resource: str
    context: dict[str, Any]


def _needed_too(action: str, resource: str, region: str) -> Iterator[Needed]:
    service = action.partition(":")[0]
    if service == "glue":
        for parent in _glue_parents(resource):
            yield Needed(action, service, parent, {})
    key = _key_of(resource) if action in KEY_USES else ""
    if key:
        for use in KEY_USES[action]:
            yield Needed(use, "kms", key, {"kms:ViaService": f"{service}.{region}.amazonaws.com"})


def _keeping(
    stock: dict[str, Any], keep: Callable[[str, dict[str, Any]], None]
) -> dict[str, Callable[..., Any]]:
    def create(logical_id: str, properties: Any, stack: str) -> Any:
        name, attributes = stock["create"](logical_id, properties, stack)
        keep(name, properties)
        return name, attributes

    def update(name: str, old: Any, new: Any, stack: str, *rest: Any) -> Any:
        name, attributes = stock["update"](name, old, new, stack, *rest)
        keep(name, new)
        return name, attributes

    return {"create": create, "update": update}


def _keep_bucket_key(name: str, properties: dict[str, Any]) -> None:
    for rule in properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", []):
        root = ElementTree.Element("ServerSideEncryptionConfiguration", xmlns=s3.S3_NS)
        parent = ElementTree.SubElement(root, "Rule")
        default = ElementTree.SubElement(parent, "ApplyServerSideEncryptionByDefault")
        for member, value in rule["ServerSideEncryptionByDefault"].items():
            ElementTree.SubElement(default, member).text = value
        s3._put_bucket_encryption(name, ElementTree.tostring(root))


def _keep_topic_key(arn: str, properties: dict[str, Any]) -> None:
    topic = sns._topic_by_arn_any_scope(arn)
    topic["attributes"]["KmsMasterKeyId"] = properties.get("KmsMasterKeyId", "")


def _glue_parents(resource: str) -> Iterator[str]:
    """The database and the catalog that a table or a database is in."""
    prefix, _, path = resource.rpartition(":")
    kind, _, name = path.partition("/")
    if kind == "table":
        yield f"{prefix}:database/{name.partition('/')[0]}"
    if kind in ("table", "database"):
        yield f"{prefix}:catalog"


def _name_glue_tables() -> None:
    """The stock one names the database where a request is about a table."""
    stock = iam_actions.extract_resource_arn

    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any
    ) -> str:
        arn = str(stock(service, method, path, headers, body, *rest))
        if service != "glue":
            return arn
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        prefix, _, _ = arn.rpartition(":")
        database = iam_actions._safe_json_field(body, "DatabaseName")
        name = iam_actions._safe_json_field(body, "Name")
        if operation == "GetDatabase":
            return f"{prefix}:database/{name}"
        if operation == "GetTables":
            return f"{prefix}:table/{database}/*"
        table = iam_actions._safe_json_field(body, "TableName") or name
        return f"{prefix}:table/{database}/{table}" if database and table else arn

    iam_actions.extract_resource_arn = extract_resource_arn


def _ask_for_tags_of_copies() -> None:
    stock = iam_actions.s3_additional_checks

    def s3_additional_checks(
        method: str, path: str, headers: Any, body: bytes, query: Any
    ) -> list[tuple[str, str]]:
        checks = list(stock(method, path, headers, body, query))
        source = iam_actions._s3_source_object(headers) if method == "PUT" else None
        if source and headers.get("x-amz-tagging-directive", "COPY") == "COPY":
            arn, version = source
            if _has_tags(arn, version):
                copied = f"arn:aws:s3:::{path.strip('/')}"
                checks.append((f"s3:GetObject{'Version' if version else ''}Tagging", arn))
                checks.append(("s3:PutObjectTagging", copied))
        return checks

    iam_actions.s3_additional_checks = s3_additional_checks


def _tell_how_change_sets_are_made() -> None:
    """CloudFormation's own condition keys, which the stock one has none of.

    Source: Service Authorization Reference, "Condition keys for AWS CloudFormation".
    """
    stock = iam_actions.request_tag_context

    def request_tag_context(service: str, action: str, body: bytes, params: Any) -> dict[str, Any]:
        context = dict(stock(service, action, body, params))
        if action == "cloudformation:CreateChangeSet":
            role = iam_actions._param(body, params, "RoleARN")
            imported = iam_actions._param(body, params, "ResourcesToImport.member.1.ResourceType")
            context |= {"cloudformation:RoleArn": role} if role else {}
            context |= {"cloudformation:ImportResourceTypes": [imported]} if imported else {}
        return context

    iam_actions.request_tag_context = request_tag_context


def _has_tags(arn: str, version: str) -> bool:
    bucket, _, key = arn.removeprefix("arn:aws:s3:::").partition("/")
    if not version:
        version = (s3._buckets.get(bucket) or {}).get("objects", {}).get(key, {}).get("version_id")
    return bool(s3._object_tags.get((bucket, key, version)))


def _key_of(resource: str) -> str:
    """The ARN of the customer-managed key of a bucket, queue, topic or secret; "" for none."""
    service = resource.split(":")[2]
    key = str(_KEYS[service](resource) or "")
    # Keys that AWS manages let in the whole account.
    return "" if key.startswith("alias/aws/") else key


def _bucket_key(resource: str) -> Any:
    bucket = resource.removeprefix("arn:aws:s3:::").partition("/")[0]
    headers = s3._bucket_default_sse_headers(bucket)
    return headers.get("x-amz-server-side-encryption-aws-kms-key-id")


def _queue_key(resource: str) -> Any:
    return ((sqs._queue_by_arn(resource) or {}).get("attributes") or {}).get("KmsMasterKeyId")


def _topic_key(resource: str) -> Any:
    topic = sns._topic_by_arn_any_scope(resource) or {}
    return (topic.get("attributes") or {}).get("KmsMasterKeyId")


def _secret_key(resource: str) -> Any:
    return (secretsmanager._resolve(resource)[1] or {}).get("KmsKeyId")


_KEYS: dict[str, Callable[[str], Any]] = {
    "s3": _bucket_key,
    "secretsmanager": _secret_key,
    "sns": _topic_key,
    "sqs": _queue_key,
}


def _with_key(stock: Callable[[str, str, str, str], bool]) -> Callable[[str, str, str, str], bool]:
    def allows(arn: str, service: str, source_arn: str, source_account: str) -> bool:
        key = _key_of(arn)
        return bool(stock(arn, service, source_arn, source_account)) and (
            not key or _service_may_use(key, service, source_arn, source_account)
        )

    return allows


def _service_may_use(key: str, service: str, source_arn: str, source_account: str) -> bool:
    found = kms.key_policy_for_arn(key)
    sources = {"aws:sourcearn": source_arn, "aws:sourceaccount": source_account}
    return found is None or all(
        iam_evaluator.evaluate_resource_policy(
            found[0],
            EvalContext(
                principal_arn="*",
                principal_type="Service",
                principal_account="",
                action=action,
                resource_arn=key,
                region=get_region(),
                service_context=sources,
            ),
            service=service,
        ).decision
        == "Allow"
        for action in (READ, WRITE)
    )


def _alarm_may(alarm: dict[str, Any], action: str) -> bool:
    service = "cloudwatch.amazonaws.com"
    return ":sns:" not in action or bool(
        sns.topic_policy_allows(action, service, alarm.get("AlarmArn", ""), get_account_id())
    )


def role_may(role_arn: str, caller: str, needed: Needed) -> bool:
    account, role = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    keys = {**_tag_keys(needed.resource), **needed.context}
    context = EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/{caller}",
        principal_type="AssumedRole",
        principal_account=account,
        action=needed.action,
        resource_arn=needed.resource,
        region=get_region(),
        service_context={name.lower(): value for name, value in keys.items()},
    )
    policies = iam_evaluator._gather_role_policies(role, account)
    return bool(iam_evaluator.evaluate(context, policies).decision == "Allow")


def _tag_keys(resource: str) -> dict[str, str]:
    """A resource's tags as conditions see them. CloudFormation gives a key none of its own."""
    tags = tagging.resource_tags(resource) or {}
    is_key = resource.split(":")[2:3] == ["kms"]
    return {
        f"aws:ResourceTag/{name}": value
        for name, value in tags.items()
        if not (is_key and name.startswith("aws:"))
    }
