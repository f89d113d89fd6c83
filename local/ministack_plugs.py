"""What MiniStack lacks for this product, put in by registration.

Each plug has a test that shows that it is still needed (tests/local/test_plugs.py). MiniStack's
version is pinned: what is replaced here is not a public interface.
"""

import dataclasses
import hashlib
import json
import logging
import re
import threading
import time
import weakref
from base64 import b64encode
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import boto3
import botocore.exceptions
import yaml
from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime, router
from ministack.core.responses import get_region
from ministack.services import (
    cloudformation,
    eventbridge,
    lambda_svc,
    s3,
    secretsmanager,
    sqs,
    stepfunctions,
)
from ministack.services.cloudformation import (
    changesets,
    custom_resource,
    engine,
    handlers,
    provisioners,
    stacks,
)

from local import names, neighbours, refusals
from local.cloud import ANSWERS_AT
from local.redshift import Redshift
from local.sdk_tasks import RoleClients, SdkTasks, TaskError, in_state, running

logger = logging.getLogger(__name__)

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, list[str]]], Awaitable[Answer]]

ResourceHook = Callable[[str, str], None]

CHANGE_SET_ID = re.compile("<Id>(.*)</Id>")
# aws/aws-cdk-cli#1000 and aws/aws-sam-cli#9154 show it with another check of the same kind.
VALIDATION_FAILED = (
    "The following hook(s)/validation failed: [AWS::EarlyValidation::PropertyValidation]. To "
    "troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure "
    "information."
)

SQS_TO_LAMBDA_LIMIT_BYTES = 6_000_000
NO_TIME_LIMIT = 10.0**9

ENCODED_IN_LISTS = ("Delimiter", "Key", "KeyMarker", "NextKeyMarker", "Prefix")
STORED_AS = (
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
)


def serve_data_api(handler: Handler, warehouse_arn: Callable[[str], str]) -> None:
    """Add the Redshift Data API, and its actions and resources to IAM.

    `warehouse_arn` answers the ARN of what a request calls its warehouse, or '*'.
    """
    app.SERVICE_HANDLERS["redshift-data"] = handler
    is_aws_service = router._is_aws_service_name

    def is_aws_service_name(name: str) -> bool:
        # To find out, the stock function reads every model that botocore has: three seconds, in
        # which nothing else is served.
        return name.startswith("redshift-") or bool(is_aws_service(name))

    router._is_aws_service_name = is_aws_service_name
    iam_actions.SERVICE_TO_IAM_NAMESPACE["redshift-data"] = "redshift-data"
    extract = iam_actions.extract_resource_arn

    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any
    ) -> str:
        if service != "redshift-data":
            return str(extract(service, method, path, headers, body, *rest))
        request = json.loads(body or b"{}")
        return warehouse_arn(request.get("WorkgroupName") or request.get("ClusterIdentifier") or "")

    iam_actions.extract_resource_arn = extract_resource_arn


def serve_redshift_serverless(handler: Handler) -> None:
    """Add the API of Redshift Serverless, which asks IAM for `redshift-serverless:<action>`."""
    app.SERVICE_HANDLERS["redshift-serverless"] = handler
    iam_actions.SERVICE_TO_IAM_NAMESPACE["redshift-serverless"] = "redshift-serverless"


def serve_redshift(handler: Handler) -> None:
    """Add the API of Redshift's clusters, which asks IAM for `redshift:<action>`."""
    app.SERVICE_HANDLERS["redshift"] = handler
    is_aws_service = router._is_aws_service_name

    def is_aws_service_name(name: str) -> bool:
        return name == "redshift" or bool(is_aws_service(name))

    router._is_aws_service_name = is_aws_service_name
    iam_actions.SERVICE_TO_IAM_NAMESPACE["redshift"] = "redshift"


def provision_redshift(redshift: Redshift) -> None:
    """Add AWS::RedshiftServerless::Namespace and ::Workgroup, and AWS::Redshift::Cluster."""
    types = {
        "AWS::RedshiftServerless::Namespace": {
            "create": redshift.create_namespace,
            "update": redshift.update_namespace,
            "delete": redshift.delete_namespace,
        },
        "AWS::RedshiftServerless::Workgroup": {
            "create": redshift.create_workgroup,
            "update": redshift.update_workgroup,
            "delete": redshift.delete_workgroup,
        },
        "AWS::Redshift::Cluster": {
            "create": redshift.create_cluster,
            "delete": redshift.delete_cluster,
        },
    }
    provisioners._RESOURCE_HANDLERS.update(types)
    _provision_on_worker(types.keys())


def answer_custom_resources_at_s3() -> None:
    """Give custom resources an address of CloudFormation's bucket, as AWS does.

    local/function_host leads there; the stock address is the laptop's own.
    """

    def response_url(token: str) -> str:
        return f"{ANSWERS_AT}/_ministack/cfn-response/{token}"

    custom_resource._response_url = response_url


def _provision_on_worker(types: Collection[str]) -> None:
    """Keep the event loop free, which serves every other request, those of provisioning too."""
    on_worker = stacks._runs_on_worker_thread

    def runs_on_worker_thread(resource_type: str) -> bool:
        return resource_type in types or bool(on_worker(resource_type))

    stacks._runs_on_worker_thread = runs_on_worker_thread


def refuse_as_aws_does(before_resource: list[ResourceHook]) -> None:
    """Hold a resource's properties against what AWS refuses, before it is made or changed.

    The hooks are called before one is made; what they raise fails it.
    """
    provision, update = stacks._provision_resource, stacks._update_resource

    def provision_resource(kind: str, logical_id: str, properties: Any, stack: str) -> Any:
        for hook in list(before_resource):
            hook(kind, logical_id)
        refusals.check(kind, properties)
        neighbours.check(kind, logical_id, properties, stack)
        return provision(kind, logical_id, properties, stack)

    def update_resource(kind: str, name: str, old: Any, new: Any, *rest: Any) -> Any:
        refusals.check(kind, new)
        return update(kind, name, old, new, *rest)

    stacks._provision_resource = provision_resource
    stacks._update_resource = update_resource


def join_lists_in_conditions() -> None:
    """Have a condition know an empty list: the stock one takes `!Join ["", !Ref List]` as it is."""
    stock = engine._evaluate_conditions

    def evaluate_conditions(template: Any, parameters: Any) -> Any:
        conditions = _joined(template.get("Conditions", {}), parameters)
        return stock({**template, "Conditions": conditions}, parameters)

    for module in (engine, changesets, handlers, stacks):
        module._evaluate_conditions = evaluate_conditions


def _joined(value: Any, parameters: Any) -> Any:
    match value:
        case {"Fn::Join": [separator, {"Ref": name}]} if name in parameters:
            return separator.join(parameters[name]["Value"].split(","))
        case dict():
            return {key: _joined(part, parameters) for key, part in value.items()}
        case list():
            return [_joined(part, parameters) for part in value]
    return value


def cut_generated_names() -> None:
    """Cut the names that CloudFormation makes up as it does, stack's and resource's part alike."""
    stock = provisioners._physical_name

    def physical_name(
        stack: str, logical_id: str, *, lowercase: bool = False, max_len: int = 128, **rest: Any
    ) -> str:
        suffix = stock(stack, logical_id, max_len=1_000, **rest).rsplit("-", 1)[1]
        suffix = suffix[: names.SUFFIX_CHARACTERS]
        name = f"{names.prefix(stack, logical_id, max_len)}{suffix}"
        return name.lower() if lowercase else name

    provisioners._physical_name = physical_name


def validate_change_sets() -> None:
    """Fail a change set in which a resource has a name that its schema does not allow.

    "Validate stack deployments" in CloudFormation's user guide: property syntax, mode FAIL. The
    stock one validates some properties when the change set is executed.
    """
    create = cloudformation._ACTION_HANDLERS["CreateChangeSet"]

    def create_change_set(params: Any) -> Any:
        answer = create(params)
        found = CHANGE_SET_ID.search(answer[2].decode())
        change_set = cloudformation._change_sets.get(found.group(1)) if found else None
        if change_set and change_set["Status"] == "CREATE_COMPLETE" and any(_misnamed(change_set)):
            change_set["Status"], change_set["ExecutionStatus"] = "FAILED", "UNAVAILABLE"
            change_set["StatusReason"] = VALIDATION_FAILED
        return answer

    cloudformation._ACTION_HANDLERS["CreateChangeSet"] = create_change_set


def _misnamed(change_set: Any) -> Iterator[str]:
    template, parameters = change_set["_template"], change_set["_resolved_params"]
    conditions = changesets._evaluate_conditions(template, parameters)
    resolved = changesets._resolve_props_for_diff(
        template, parameters, change_set["StackName"], change_set["StackId"]
    )
    for body in resolved["Resources"].values():
        if conditions.get(body.get("Condition"), True):
            yield from names.misnamed(body["Type"], body["Properties"])


def provision_composite_alarms(endpoint_url: str, region: str) -> None:
    """Add AWS::CloudWatch::CompositeAlarm to CloudFormation."""

    def client() -> Any:
        return boto3.client("cloudwatch", endpoint_url=endpoint_url, region_name=region)

    def create(_id: str, properties: Any, _stack: str) -> Any:
        known = ("AlarmName", "AlarmDescription", "AlarmRule", "AlarmActions")
        client().put_composite_alarm(**{name: properties[name] for name in known})
        return properties["AlarmName"], {}

    def delete(name: str, _properties: Any) -> None:
        client().delete_alarms(AlarmNames=[name])

    kind = "AWS::CloudWatch::CompositeAlarm"
    provisioners._RESOURCE_HANDLERS[kind] = {
        "create": create,
        "update": lambda name, _old, new, stack: create(name, new, stack),
        "delete": delete,
    }
    _provision_on_worker({kind})


def answer_secret_arns() -> None:
    """Make `!Ref` of a secret its ARN, not its name."""
    stock = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]

    def name_of(arn: str) -> str:
        return arn.split(":secret:")[1].rsplit("-", 1)[0]

    def create(logical_id: str, properties: Any, stack: str) -> Any:
        _, attributes = stock["create"](logical_id, properties, stack)
        return attributes["Arn"], attributes

    def update(arn: str, old: Any, new: Any, stack: str, logical_id: str | None = None) -> Any:
        _, attributes = stock["update"](name_of(arn), old, new, stack, logical_id)
        return attributes["Arn"], attributes

    def delete(arn: str, properties: Any) -> None:
        stock["delete"](name_of(arn), properties)

    provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"] = {
        **stock,
        "create": create,
        "update": update,
        "delete": delete,
    }


def read_yaml_definitions() -> None:
    """Let a state machine's definition be YAML, as `DefinitionUri` allows."""
    resolve = provisioners._sfn_definition

    def resolve_definition(properties: Any) -> str:
        # JSON is YAML too.
        return json.dumps(yaml.safe_load(resolve(properties)))

    provisioners._sfn_definition = resolve_definition


def generate_secrets_as_asked() -> None:
    """Have GetRandomPassword generate the secrets of a template, as CloudFormation does.

    The stock generator heeds no `ExcludePunctuation`, and at times leaves out digits, without which
    Redshift takes no password.
    """
    stock = provisioners._sm_secret_string

    def secret_string(properties: Any) -> str:
        generate = properties.get("GenerateSecretString")
        if not generate:
            return str(stock(properties))
        # A template may spell what is no text as text.
        asked = {name: {"true": True, "false": False}.get(v, v) for name, v in generate.items()}
        asked["PasswordLength"] = int(generate.get("PasswordLength", 32))
        _, _, answer = secretsmanager._get_random_password(asked)
        password = json.loads(answer)["RandomPassword"]
        template = json.loads(generate.get("SecretStringTemplate", "null"))
        if template is None:
            return str(password)
        return json.dumps({**template, generate["GenerateStringKey"]: password})

    provisioners._sm_secret_string = secret_string


def assume_roles_as_a_service() -> None:
    """Give the account's root, which stands for AWS's services, `aws:SourceAccount` and `-Arn`.

    Trust policies that guard against a confused deputy ask for it.
    """
    evaluate = iam_evaluator.evaluate_trust_policy

    def evaluate_trust_policy(trust: Any, caller: str, context: Any = None) -> bool:
        if context is not None and caller.endswith(":root"):
            source = context.service_context.get("sts:externalid")
            keys = {**context.service_context, "aws:sourceaccount": context.principal_account}
            keys |= {"aws:sourcearn": source} if source else {}
            context = dataclasses.replace(context, service_context=keys)
        return bool(evaluate(trust, caller, context))

    iam_evaluator.evaluate_trust_policy = evaluate_trust_policy


def let_wildcards_match_newlines() -> None:
    """Have `*` in a policy match a key that holds a line break, which the stock one does not."""
    compile_pattern = iam_evaluator._fnmatch_compile

    @cache
    def compile_over_lines(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        compiled = compile_pattern(pattern, ignore_case)
        return re.compile(compiled.pattern, compiled.flags | re.DOTALL)

    iam_evaluator._fnmatch_compile = compile_over_lines


def tell_how_objects_are_stored() -> None:
    """Give policies the keys and the storage class that an upload names; the stock ones have none.

    Source: Service Authorization Reference, "Condition keys for Amazon S3". Each part of an upload
    with the customer's own key names it; the rest is said when the upload begins.
    """
    stock = iam_actions.s3_service_context

    def s3_service_context(
        action: str, query: Any, path: str = "", headers: Any = None
    ) -> dict[str, Any]:
        context = dict(stock(action, query, path, headers))
        if action == "s3:PutObject":
            context |= {
                f"s3:{name}": headers[name] for name in STORED_AS if (headers or {}).get(name)
            }
        return context

    iam_actions.s3_service_context = s3_service_context


def deny_to_root_too() -> None:
    """Hold the Deny of a bucket's policy against the account's root, which the stock one passes.

    Source: IAM User Guide, "Policy evaluation logic": an explicit Deny of a resource's policy
    denies to everybody.
    """
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
        if denied or service != "s3" or not iam_evaluator.is_root_access_key(access_key or ""):
            return denied
        policy, account = iam_evaluator._resource_policy(service, resource_arn) or ("", "")
        result = iam_evaluator.evaluate_resource_policy(
            policy,
            iam_evaluator.EvalContext(
                principal_arn=f"arn:aws:iam::{account}:root",
                principal_type="Root",
                principal_account=account,
                action=action,
                resource_arn=resource_arn,
                region=region,
                service_context={k.lower(): value for k, value in (service_context or {}).items()},
            ),
        )
        return result if result.decision == "Deny" else None

    iam_evaluator.enforce = enforce


def call_services_as_the_machine(tasks: SdkTasks) -> None:
    """Send the AWS calls of state machines through `tasks`, which signs them with their roles."""
    run_execution = stepfunctions._run_execution
    execute_task = stepfunctions._execute_task

    def run(execution_arn: str) -> None:
        execution = stepfunctions._executions[execution_arn]
        machine = stepfunctions._state_machines.get(execution["stateMachineArn"], {})
        with running(machine.get("roleArn", ""), execution_arn):
            run_execution(execution_arn)

    def execute(state: Any, raw_input: Any, execution: Any, context: Any) -> Any:
        with in_state(context["State"]["Name"]):
            return execute_task(state, raw_input, execution, context)

    def invoke(resource: str, arguments: Any) -> Any:
        try:
            return tasks.invoke(resource, arguments)
        except TaskError as error:
            raise stepfunctions._ExecutionError(error.error, error.cause) from error

    stepfunctions._run_execution = run
    stepfunctions._execute_task = execute
    stepfunctions._invoke_aws_sdk_integration = invoke
    for action in ("sns:publish", "sqs:sendMessage"):
        stepfunctions._SERVICE_DISPATCH[f"arn:aws:states:::{action}"] = invoke


class ExecutionEnded(SystemExit):
    """Ends a thread of an execution that has ended: no Retry or Catch sees it.

    Threads end without a word by a SystemExit.
    """


@dataclasses.dataclass(frozen=True)
class _Run:
    """The record of the execution that the current thread works for, and when its time is up."""

    record: dict[str, Any]
    deadline: float


_current_run: ContextVar[_Run | None] = ContextVar("current_run", default=None)


class Executions:
    """Ends executions for good.

    The stock StopExecution sets a status, and the execution's threads, those of a Map's items
    among them, go on with calls, retries and states. A machine's TimeoutSeconds is ignored.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stop = stepfunctions._stop_execution
        self._fail = stepfunctions._fail_execution

    def install(self) -> None:
        """Look at every call, wait, retry and state whether the execution still runs."""
        run_execution = stepfunctions._run_execution

        def run(execution_arn: str) -> None:
            record = stepfunctions._executions[execution_arn]
            token = _current_run.set(_Run(record, time.monotonic() + _time_limit(record)))
            try:
                run_execution(execution_arn)
            except ExecutionEnded:
                pass
            finally:
                _current_run.reset(token)

        stepfunctions._run_execution = run
        for name in ("task", "map", "parallel", "choice", "wait", "pass"):
            state = f"_execute_{name}"
            setattr(stepfunctions, state, self._while_running(getattr(stepfunctions, state)))
        # A retry is a call that the state makes, not a state that is entered.
        stepfunctions._invoke_resource = self._while_running(stepfunctions._invoke_resource)
        stepfunctions._scaled_sleep = self._sleep
        stepfunctions._stop_execution = self._stop_and_wake
        stepfunctions._fail_execution = self._fail_if_running

    def stop_all(self) -> None:
        """End what still runs, and all waits."""
        for record in list(stepfunctions._executions._data.values()):
            if record["status"] == "RUNNING":
                record["status"] = "ABORTED"
        self._wake()

    def _while_running(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any) -> Any:
            self._check()
            try:
                return step(*arguments)
            finally:
                self._check()

        return guarded

    def _check(self) -> None:
        run = _current_run.get()
        if run is None:
            return
        with self._changed:
            if run.record["status"] == "RUNNING" and time.monotonic() > run.deadline:
                _time_out(run.record)
        if run.record["status"] != "RUNNING":
            raise ExecutionEnded

    def _sleep(self, seconds: float) -> None:
        run = _current_run.get()
        pause = max(0.0, seconds * stepfunctions._SFN_WAIT_SCALE)
        if run is None:
            time.sleep(pause)
            return
        with self._changed:
            left = min(pause, run.deadline - time.monotonic(), threading.TIMEOUT_MAX)
            self._changed.wait_for(lambda: run.record["status"] != "RUNNING", left)
        self._check()

    def _stop_and_wake(self, request: Any) -> Any:
        answer = self._stop(request)
        self._wake()
        return answer

    def _fail_if_running(self, record: Any, error: str, cause: str) -> None:
        self._check()
        self._fail(record, error, cause)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _time_limit(record: Any) -> float:
    """A machine's TimeoutSeconds at the scale of the cloud's waits, or no limit."""
    machine = stepfunctions._state_machines.get(record["stateMachineArn"], {})
    seconds = json.loads(machine.get("definition", "{}")).get("TimeoutSeconds")
    scale = float(stepfunctions._SFN_WAIT_SCALE)
    return float(seconds) * scale if seconds else NO_TIME_LIMIT


def _time_out(record: Any) -> None:
    record["status"] = "TIMED_OUT"
    record["stopDate"] = stepfunctions.now_iso()
    stepfunctions._add_event(record, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
    stepfunctions._emit_execution_status_event(record)


def start_machines_as_the_rule(clients: RoleClients) -> None:
    """Start the state machine that is an EventBridge rule's target in the target's role.

    The stock rule starts it whatever that role allows.
    """
    current: ContextVar[tuple[str, str]] = ContextVar("role_and_rule")
    invoke_target = eventbridge._invoke_target

    def invoke(target: Any, event: Any, rule: Any, *rest: Any) -> None:
        token = current.set((target.get("RoleArn", ""), rule["Arn"]))
        try:
            invoke_target(target, event, rule, *rest)
        finally:
            current.reset(token)

    def dispatch(machine: str, event: str) -> None:
        # The event may come from MiniStack's loop, which has to serve this call.
        arguments = (clients, *current.get(), machine, event)
        threading.Thread(target=_start_machine, args=arguments, daemon=True).start()

    eventbridge._invoke_target = invoke
    eventbridge._dispatch_to_stepfunctions = dispatch


def _start_machine(clients: RoleClients, role: str, rule: str, machine: str, event: str) -> None:
    try:
        states = clients.client("stepfunctions", role, rule, "EventBridge")
        states.start_execution(stateMachineArn=machine, input=event)
    except botocore.exceptions.ClientError as error:
        # On AWS nobody hears of it either, but for a metric.
        logger.warning("an EventBridge rule could not start %s: %s", machine, error)


def refuse_deletes_by_object() -> None:
    """Have DeleteObjects delete what its caller may delete, and name the rest under Errors.

    The stock one refuses the whole request, and asks s3:DeleteObject where the first object has a
    version.
    """
    action_of = iam_actions.extract_iam_action
    delete = s3._delete_objects

    def extract_iam_action(
        service: str, method: str, path: str, headers: Any, body: bytes, query: Any
    ) -> Any:
        if service == "s3" and method == "POST" and "delete" in query:
            return None  # then the caller is authenticated, and no more
        return action_of(service, method, path, headers, body, query)

    def delete_objects(bucket: str, body: bytes, headers: Any = None) -> Any:
        request = ElementTree.fromstring(body)
        denied = [
            item
            for item in request
            if item.tag.endswith("Object") and not _may_delete(bucket, item, headers or {})
        ]
        for item in denied:
            request.remove(item)
        status, answer_headers, answer = delete(bucket, ElementTree.tostring(request), headers)
        if denied and status == 200:
            answer = _with_denials(answer, denied)
        return status, answer_headers, answer

    iam_actions.extract_iam_action = extract_iam_action
    s3._delete_objects = delete_objects


def _may_delete(bucket: str, item: ElementTree.Element, headers: Any) -> bool:
    action = "s3:DeleteObjectVersion" if _member(item, "VersionId") else "s3:DeleteObject"
    return _may(headers, action, f"arn:aws:s3:::{bucket}/{_member(item, 'Key')}")


def _may(headers: Any, action: str, resource: str) -> bool:
    access_key = router.extract_access_key_id(headers)
    return not iam_evaluator.enforce(access_key, action, "s3", get_region(), resource)


def _member(item: ElementTree.Element, name: str) -> str:
    return item.findtext(f"{{*}}{name}") or ""


def _with_denials(answer: bytes, denied: list[ElementTree.Element]) -> bytes:
    root = ElementTree.fromstring(answer)
    namespace = root.tag.partition("}")[0] + "}"
    for item in denied:
        error = ElementTree.SubElement(root, f"{namespace}Error")
        texts = {"Code": "AccessDenied", "Message": "Access Denied"}
        for name in ("Key", "VersionId"):
            if _member(item, name):
                texts[name] = _member(item, name)
        for name, text in texts.items():
            ElementTree.SubElement(error, namespace + name).text = text
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def hide_missing_objects() -> None:
    """Call a missing object forbidden to whoever may not list its bucket, as S3 does.

    Whether it does so with a missing version, to whoever may not list versions, is open: here it
    does.
    """
    stock = app.SERVICE_HANDLERS["s3"]

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Answer:
        status, answer_headers, answer = await stock(method, path, headers, body, query)
        source = headers.get("x-amz-copy-source", "") if method == "PUT" else path
        source, _, version = source.partition("?")
        bucket, _, key = unquote(source).lstrip("/").partition("/")
        is_missing = status == 404 and key and method in ("GET", "HEAD", "PUT")
        names_version = bool(version) or (method != "PUT" and "versionId" in query)
        needed = ["s3:ListBucket", "s3:ListBucketVersions"] if names_version else ["s3:ListBucket"]
        arn = f"arn:aws:s3:::{bucket}"
        if is_missing and not all(_may(headers, action, arn) for action in needed):
            status, answer_headers, answer = s3._error("AccessDenied", "Access Denied", 403)
            answer = b"" if method == "HEAD" else answer
        return status, answer_headers, answer

    app.SERVICE_HANDLERS["s3"] = handle


def refuse_cold_copies() -> None:
    """Copy nothing out of Glacier that was not restored, as S3 does. MiniStack refuses GET only."""
    stock = app.SERVICE_HANDLERS["s3"]

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Answer:
        source, _, version = headers.get("x-amz-copy-source", "").partition("?versionId=")
        if method == "PUT" and source:
            named = unquote(source).lstrip("/")
            wanted = {"versionId": [unquote(version)]} if version else {}
            _, found, _ = await s3.handle_request(
                "HEAD", f"/{named}", {}, b"", wanted, internal=True
            )
            is_restored = 'ongoing-request="false"' in found.get("x-amz-restore", "")
            storage_class = found.get("x-amz-storage-class", "")
            if storage_class in s3._ARCHIVE_STORAGE_CLASSES and not is_restored:
                bucket, _, key = named.partition("/")
                refusal: Answer = s3._invalid_object_state(bucket, key, storage_class)
                return refusal
        answer: Answer = await stock(method, path, headers, body, query)
        return answer

    app.SERVICE_HANDLERS["s3"] = handle


def checksum_copies() -> None:
    """Answer a copy that asks for a SHA-256 with the new object's, as S3 does."""
    stock = app.SERVICE_HANDLERS["s3"]

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Answer:
        status, answer_headers, answer = await stock(method, path, headers, body, query)
        is_asked = headers.get("x-amz-checksum-algorithm", "").upper() == "SHA256"
        if is_asked and "x-amz-copy-source" in headers and status == 200:
            _, _, copied = await s3.handle_request("GET", path, {}, b"", {}, internal=True)
            root = ElementTree.fromstring(answer)
            checksum = ElementTree.SubElement(root, root.tag.partition("}")[0] + "}ChecksumSHA256")
            checksum.text = b64encode(hashlib.sha256(copied).digest()).decode()
            answer = bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
        return status, answer_headers, answer

    app.SERVICE_HANDLERS["s3"] = handle


def encode_listed_versions() -> None:
    """List the keys of versions as in a URL where they are asked for so, as S3 does.

    The stock one writes keys as they are, and XML has no way to write some.
    """
    stock, body_of = s3._list_object_versions, s3._xml_body
    is_asked = ContextVar("is_asked", default=False)

    def list_object_versions(bucket: str, query: Any) -> Any:
        token = is_asked.set("url" in query.get("encoding-type", ""))
        try:
            return stock(bucket, query)
        finally:
            is_asked.reset(token)

    def xml_body(root: ElementTree.Element) -> Any:
        if is_asked.get() and root.tag == "ListVersionsResult":
            for element in root.iter():
                if element.tag in ENCODED_IN_LISTS and element.text:
                    element.text = s3._url_encode(element.text)
            ElementTree.SubElement(root, "EncodingType").text = "url"
        return body_of(root)

    s3._list_object_versions, s3._xml_body = list_object_versions, xml_body


def batch_messages() -> None:
    """Honour an SQS event source's batching window and batch sizes over 10."""
    receive = sqs._receive_messages_for_esm
    waiting_since: dict[str, float] = {}

    def receive_batch(queue_url: str, batch_size: int) -> list[Any]:
        queue = sqs._queues[queue_url]
        now = time.time()
        visible = [message for message in queue["messages"] if message["visible_at"] <= now]
        if not visible:
            waiting_since.pop(queue_url, None)
            return []
        window_ends = waiting_since.setdefault(queue_url, now) + _window(queue)
        held_back = now < window_ends and len(visible) < batch_size and _bytes(visible)
        if held_back and held_back < SQS_TO_LAMBDA_LIMIT_BYTES:
            # The poller sleeps a second unless it is told that there is more to do.
            lambda_svc._esm_wake.set()
            return []
        del waiting_since[queue_url]
        batch: list[Any] = []
        while len(batch) < batch_size:
            messages = receive(queue_url, batch_size - len(batch))
            batch += messages
            if not messages or _bytes(batch) > SQS_TO_LAMBDA_LIMIT_BYTES:
                break
        return batch

    sqs._receive_messages_for_esm = receive_batch


def _window(queue: Any) -> float:
    arn = queue["attributes"]["QueueArn"]
    windows = [
        source.get("MaximumBatchingWindowInSeconds") or 0
        for _, _, source in lambda_svc._iter_all_esms()
        if source.get("EventSourceArn") == arn
    ]
    return float(max(windows, default=0))


def _bytes(messages: list[Any]) -> int:
    return sum(len(message["body"]) for message in messages)


class Brake:
    """Stops what MiniStack leaves running when its server ends: functions and executions."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._starting = 0
        self._workers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._spawn = lambda_runtime.Worker._spawn

    def install(self) -> None:
        """Put the brake on every function's start."""
        brake = self

        def spawn(worker: Any) -> None:
            with brake._admitted(worker):
                brake._spawn(worker)

        lambda_runtime.Worker._spawn = spawn

    def stop(self) -> None:
        """End all executions and functions. None starts after this."""
        self._stopped.set()
        self._executions.stop_all()
        lambda_runtime.reset()
        with self._changed:
            while self._starting:
                # A start that is under way holds a process that nobody else would end.
                lambda_runtime.kill_workers(list(self._workers))
                self._changed.wait(0.05)
        lambda_runtime.kill_workers(list(self._workers))

    @contextmanager
    def _admitted(self, worker: Any) -> Iterator[None]:
        with self._changed:
            if self._stopped.is_set():
                raise RuntimeError("The laptop cloud has stopped")
            self._workers.add(worker)
            self._starting += 1
        try:
            yield
        finally:
            with self._changed:
                self._starting -= 1
                self._changed.notify_all()
