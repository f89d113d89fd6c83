"""What MiniStack lacks for this product, put in by registration.

Each plug has a test that shows that it is still needed (tests/local/test_plugs.py). MiniStack's
version is pinned: what is replaced here is not a public interface.
"""

import contextlib
import dataclasses
import json
import string
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import yaml  # type: ignore[import-untyped]
from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime, router
from ministack.services import lambda_svc, sqs, stepfunctions
from ministack.services.cloudformation import provisioners, stacks

from local.redshift_serverless import RedshiftServerless
from local.sdk_tasks import SdkTasks, TaskError, in_state, running, running_execution

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, list[str]]], Awaitable[Answer]]

SQS_TO_LAMBDA_LIMIT_BYTES = 6_000_000


def serve_data_api(handler: Handler, workgroup_arn: Callable[[str], str]) -> None:
    """Add the Redshift Data API, and its actions and resources to IAM.

    `workgroup_arn` answers the ARN of a workgroup's name, or '*'.
    """
    app.SERVICE_HANDLERS["redshift-data"] = handler
    is_aws_service = router._is_aws_service_name

    def is_aws_service_name(name: str) -> bool:
        # To find out, the stock function reads every model that botocore has: three seconds, in
        # which nothing else is served.
        return name == "redshift-data" or bool(is_aws_service(name))

    router._is_aws_service_name = is_aws_service_name
    iam_actions.SERVICE_TO_IAM_NAMESPACE["redshift-data"] = "redshift-data"
    extract = iam_actions.extract_resource_arn

    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any
    ) -> str:
        if service != "redshift-data":
            return str(extract(service, method, path, headers, body, *rest))
        return workgroup_arn(json.loads(body or b"{}").get("WorkgroupName", ""))

    iam_actions.extract_resource_arn = extract_resource_arn


def provision_redshift_serverless(redshift: RedshiftServerless) -> None:
    """Add AWS::RedshiftServerless::Namespace and ::Workgroup to CloudFormation."""
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
    }
    provisioners._RESOURCE_HANDLERS.update(types)
    on_worker = stacks._runs_on_worker_thread

    def runs_on_worker_thread(resource_type: str) -> bool:
        # A warehouse takes a second to start, and the event loop serves every other request.
        return resource_type in types or bool(on_worker(resource_type))

    stacks._runs_on_worker_thread = runs_on_worker_thread


def answer_secret_arns() -> None:
    """Make `!Ref` of a secret its ARN, not its name, and heed `ExcludePunctuation`."""
    stock = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]

    def name_of(arn: str) -> str:
        return arn.split(":secret:")[1].rsplit("-", 1)[0]

    def create(logical_id: str, properties: Any, stack: str) -> Any:
        _, attributes = stock["create"](logical_id, _as_excluded_characters(properties), stack)
        return attributes["Arn"], attributes

    def update(arn: str, old: Any, new: Any, stack: str, logical_id: str | None = None) -> Any:
        old, new = _as_excluded_characters(old), _as_excluded_characters(new)
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


def _as_excluded_characters(properties: Any) -> Any:
    generate = properties.get("GenerateSecretString", {})
    if str(generate.get("ExcludePunctuation", False)).lower() != "true":
        return properties
    excluded = generate.get("ExcludeCharacters", "") + string.punctuation
    return {**properties, "GenerateSecretString": {**generate, "ExcludeCharacters": excluded}}


def assume_roles_as_a_service() -> None:
    """Give the account's root, which stands for AWS's services, their `aws:SourceAccount`.

    Trust policies that guard against a confused deputy ask for it.
    """
    evaluate = iam_evaluator.evaluate_trust_policy

    def evaluate_trust_policy(trust: Any, caller: str, context: Any = None) -> bool:
        if context is not None and caller.endswith(":root"):
            keys = {**context.service_context, "aws:sourceaccount": context.principal_account}
            context = dataclasses.replace(context, service_context=keys)
        return bool(evaluate(trust, caller, context))

    iam_evaluator.evaluate_trust_policy = evaluate_trust_policy


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


class Aborted(BaseException):
    """Ends the thread of an execution that has been stopped: no Catch and no Retry sees it."""


def end_aborted_executions() -> None:
    """Make no call for an execution that has been stopped, and let its status stay.

    MiniStack's StopExecution sets the status alone; the thread goes on, through Map branches and
    retries, and may overwrite it.
    """
    run_execution = stepfunctions._run_execution
    invoke_resource = stepfunctions._invoke_resource
    fail_execution = stepfunctions._fail_execution

    def run(execution_arn: str) -> None:
        with contextlib.suppress(Aborted):
            run_execution(execution_arn)

    def invoke(resource: str, arguments: Any) -> Any:
        check()
        try:
            return invoke_resource(resource, arguments)
        finally:
            # Whether the call succeeded or not: nobody is left to hear of it.
            check()

    def check() -> None:
        execution = stepfunctions._executions.get(running_execution())
        if execution and execution["status"] != "RUNNING":
            raise Aborted

    def fail(execution: Any, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail_execution(execution, error, cause)

    stepfunctions._run_execution = run
    stepfunctions._invoke_resource = invoke
    stepfunctions._fail_execution = fail


def authorize_deletes_of_versions() -> None:
    """Ask for s3:DeleteObjectVersion for the first object of a DeleteObjects, as for the rest."""
    extract = iam_actions.extract_iam_action

    def extract_iam_action(
        service: str, method: str, path: str, headers: Any, body: bytes, query: Any
    ) -> str | None:
        action: str | None = extract(service, method, path, headers, body, query)
        if service == "s3" and method == "POST" and "delete" in (query or {}):
            targets = iam_actions._s3_batch_delete_targets(path.strip("/").split("/")[0], body)
            if targets and targets[0][1]:
                return "s3:DeleteObjectVersion"
        return action

    iam_actions.extract_iam_action = extract_iam_action


class Brake:
    """Stops what MiniStack leaves running when its server ends: functions, waits and retries."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._starting = 0
        self._workers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._spawn = lambda_runtime.Worker._spawn

    def install(self) -> None:
        """Put the brake on every wait, and on every function's start."""
        brake = self

        def spawn(worker: Any) -> None:
            with brake._admitted(worker):
                brake._spawn(worker)

        lambda_runtime.Worker._spawn = spawn
        stepfunctions._scaled_sleep = self._sleep

    def stop(self) -> None:
        """End all executions and functions. None starts after this."""
        self._stopped.set()
        for execution in list(stepfunctions._executions._data.values()):
            if execution["status"] == "RUNNING":
                execution["status"] = "ABORTED"
        lambda_runtime.reset()
        with self._changed:
            while self._starting:
                # A start that is under way holds a process that nobody else would end.
                lambda_runtime.kill_workers(list(self._workers))
                self._changed.wait(0.05)
        lambda_runtime.kill_workers(list(self._workers))

    @contextlib.contextmanager
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

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(max(0.0, seconds * stepfunctions._SFN_WAIT_SCALE)):
            raise stepfunctions._ExecutionError("States.Runtime", "The laptop cloud has stopped")
