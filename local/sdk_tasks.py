"""The AWS SDK tasks of a state machine, run through boto3 with the machine's own role.

MiniStack's own dispatch passes only some parameters on and skips IAM. Here every parameter goes
through botocore's model, and every call is signed with credentials of the state machine's role, so
that a missing permission or a misspelt parameter fails on a laptop as it does on AWS.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import botocore.handlers
import botocore.session
from botocore.model import ServiceModel

from local.java_names import exception_class, pascal_case

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MAX_PAYLOAD_BYTES = 256 * 1024
CREDENTIALS_LIFETIME_SECONDS = 3600
CREDENTIALS_MARGIN_SECONDS = 600


class TaskError(Exception):
    """A task's failure, with the name and cause that Retry and Catch see."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


class TaskAnswer(Exception):
    """A task's result, as its state sees it, in place of the call's."""

    def __init__(self, result: Any) -> None:
        super().__init__(str(result))
        self.result = result


@dataclass(frozen=True)
class RunningState:
    """The state that the current thread runs, and for whom."""

    role: str
    execution: str
    state: str = ""


@dataclass(frozen=True)
class TaskCall:
    """One call that a task makes.

    `service` and `action` are spelt as in the task's resource (`redshiftdata`,
    `executeStatement`), `role` and `execution` are ARNs, `state` is the state's name.
    """

    service: str
    action: str
    parameters: dict[str, Any]
    role: str
    execution: str
    state: str


Hook = Callable[[TaskCall], None]


@dataclass(frozen=True)
class _Service:
    client: str
    prefix: str


# Service names in task resources: what boto3 calls the service, and what Step Functions puts before
# the names of its errors.
_SERVICES = {
    "cloudwatch": _Service("cloudwatch", "CloudWatch"),
    "dynamodb": _Service("dynamodb", "DynamoDb"),
    "eventbridge": _Service("events", "EventBridge"),
    "glue": _Service("glue", "Glue"),
    "lambda": _Service("lambda", "Lambda"),
    "redshiftdata": _Service("redshift-data", "RedshiftData"),
    "s3": _Service("s3", "S3"),
    "secretsmanager": _Service("secretsmanager", "SecretsManager"),
    "sfn": _Service("stepfunctions", "Sfn"),
    "sns": _Service("sns", "Sns"),
    "sqs": _Service("sqs", "Sqs"),
    "sts": _Service("sts", "Sts"),
}

# `arn:aws:states:::sns:publish` and its like name their errors in capitals and take an object as
# the message's text.
_OPTIMIZED_PREFIXES = {"sns": "SNS", "sqs": "SQS"}
_OPTIMIZED_TEXTS = {"publish": "Message", "sendMessage": "MessageBody"}

_current: ContextVar[RunningState | None] = ContextVar("running_state", default=None)


@contextmanager
def running(role: str, execution: str) -> Iterator[None]:
    """Say on whose behalf the tasks of this context are called."""
    token = _current.set(RunningState(role, execution))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def in_state(name: str) -> Iterator[None]:
    """Say which state the tasks of this context belong to."""
    state = _current.get()
    token = _current.set(replace(state, state=name) if state else None)
    try:
        yield
    finally:
        _current.reset(token)


class SdkTasks:
    """Calls AWS services for state machines.

    `before_call` and `after_call` are called with each `TaskCall`, the latter once the call has
    taken effect. A hook may raise `TaskError`: the task then fails with it. One of `before_call`
    may raise `TaskAnswer`: the call is not made, and this is its result.
    """

    def __init__(self, endpoint_url: str, region: str) -> None:
        self.before_call: list[Hook] = []
        self.after_call: list[Hook] = []
        self._clients = RoleClients(endpoint_url, region)

    def invoke(self, resource: str, arguments: dict[str, Any] | None) -> Any:
        """Make the call that a task's resource names, and return its result as the task sees it.

        Raises TaskError.
        """
        state = _current.get()
        if state is None:
            raise TaskError("States.Runtime", f"{resource} was called outside an execution")
        service, action, optimized = _parse_resource(resource)
        parameters = _texts(action, arguments or {}) if optimized else arguments or {}
        call = TaskCall(service, action, parameters, state.role, state.execution, state.state)
        try:
            for hook in list(self.before_call):
                hook(call)
        except TaskAnswer as answer:
            return answer.result
        prefix = _OPTIMIZED_PREFIXES[service] if optimized else _SERVICES[service].prefix
        result = self._call(call, prefix)
        for hook in list(self.after_call):
            hook(call)
        _check_size(call, result)
        return result

    def _call(self, call: TaskCall, prefix: str) -> Any:
        service = _SERVICES[call.service].client
        try:
            machine = _machine_of(call.execution)
            client = self._clients.client(service, call.role, machine, call.state)
        except botocore.exceptions.ClientError as error:
            # Not the called service's word, but that of who is to call it.
            raise TaskError("States.TaskFailed", str(error)) from error
        try:
            operation = _operation(client, call)
            parameters = _to_api(call.parameters, operation.input_shape, call)
            answer = client._make_api_call(operation.name, parameters)
        except botocore.exceptions.ClientError as error:
            raise _client_error(prefix, error, client.meta.service_model) from error
        except botocore.exceptions.ParamValidationError as error:
            raise TaskError("States.Runtime", str(error)) from error
        except botocore.exceptions.BotoCoreError as error:
            raise TaskError(f"{prefix}.SdkClientException", str(error)) from error
        return _to_states(answer, operation.output_shape) if operation.output_shape else {}


class RoleClients:
    """boto3 clients that act as IAM roles: one per role, caller and service, made when wanted."""

    def __init__(self, endpoint_url: str, region: str) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._lock = threading.Lock()
        self._session = boto3.Session()
        self._clients: dict[tuple[str, ...], tuple[float, Any]] = {}
        self._credentials: dict[tuple[str, ...], tuple[float, dict[str, str]]] = {}

    def client(self, service: str, role: str, source: str = "", caller: str = "") -> Any:
        """A client of a service with the role's credentials.

        `source` is the ARN of what the role is assumed for, `aws:SourceArn` to its trust policy;
        `caller` names the session. Raises botocore's ClientError when the role cannot be assumed.
        """
        session = (role, source, caller)
        with self._lock:
            expires, client = self._clients.get((*session, service), (0.0, None))
            if time.monotonic() > expires:
                expires, credentials = self._assumed(*session)
                client = self._make(service, credentials)
                self._clients[(*session, service)] = (expires, client)
            return client

    def _assumed(self, role: str, source: str, caller: str) -> tuple[float, dict[str, str]]:
        expires, credentials = self._credentials.get((role, source, caller), (0.0, {}))
        if time.monotonic() > expires:
            credentials = self._assume(role, source, caller)
            expires = time.monotonic() + CREDENTIALS_LIFETIME_SECONDS - CREDENTIALS_MARGIN_SECONDS
            self._credentials[role, source, caller] = (expires, credentials)
        return expires, credentials

    def _assume(self, role: str, source: str, caller: str) -> dict[str, str]:
        sts = self._make("sts", {})
        # A request cannot say its aws:SourceArn; it travels where the cloud looks for it.
        travelling = {"ExternalId": source} if source else {}
        credentials = sts.assume_role(
            RoleArn=role,
            # STS wants 2 to 64 characters, and a state may have one.
            RoleSessionName=(caller or "a-service")[:64].ljust(2, "-"),
            DurationSeconds=CREDENTIALS_LIFETIME_SECONDS,
            **travelling,
        )["Credentials"]
        return {
            "aws_access_key_id": credentials["AccessKeyId"],
            "aws_secret_access_key": credentials["SecretAccessKey"],
            "aws_session_token": credentials["SessionToken"],
        }

    def _make(self, service: str, credentials: dict[str, str]) -> Any:
        client = self._session.client(
            service,
            **credentials,
            region_name=self._region,
            endpoint_url=self._endpoint_url,
            # Retries are the state machine's to make; a second one here would hide them.
            config=botocore.config.Config(
                retries={"total_max_attempts": 1}, max_pool_connections=50, read_timeout=60
            ),
        )
        # Step Functions sends CopySource as it was given. botocore would encode it once more.
        for operation in ("CopyObject", "UploadPartCopy"):
            client.meta.events.unregister(
                f"before-parameter-build.s3.{operation}", botocore.handlers.handle_copy_source_param
            )
        return client


def service_error(
    service: str, code: str, message: str, status: int, request_id: str = ""
) -> TaskError:
    """What a task sees when its service (spelt as in its resource) answers with this error.

    `code` is the error's code on the wire, `status` the HTTP status.
    """
    names = _SERVICES[service]
    metadata = {"HTTPStatusCode": status, "RequestId": request_id}
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    error = botocore.exceptions.ClientError(
        response,  # type: ignore[arg-type]  # its type names each field of an answer that was sent
        "",
    )
    return _client_error(names.prefix, error, _models()[names.client])


@cache
def _models() -> dict[str, ServiceModel]:
    session = botocore.session.get_session()
    return {names.client: session.get_service_model(names.client) for names in _SERVICES.values()}


def _parse_resource(resource: str) -> tuple[str, str, bool]:
    """Service, action, and whether it is an optimized integration rather than an SDK one."""
    parts = resource.split(":")
    optimized = parts[5] != "aws-sdk"
    service, action = parts[5:7] if optimized else parts[6:8]
    known = _OPTIMIZED_PREFIXES if optimized else _SERVICES
    if service not in known:
        raise TaskError("States.Runtime", f"The laptop cloud cannot call {resource}")
    return service, action, optimized


def _check_size(call: TaskCall, result: Any) -> None:
    """Refuse a result that is larger than Step Functions hands to a state."""
    if len(json.dumps(result, ensure_ascii=False).encode()) > MAX_PAYLOAD_BYTES:
        raise TaskError(
            "States.DataLimitExceeded",
            f"The state/task '{call.service}:{call.action}' returned a result with a size "
            "exceeding the maximum number of bytes service limit.",
        )


def _texts(action: str, arguments: dict[str, Any]) -> dict[str, Any]:
    name = _OPTIMIZED_TEXTS.get(action)
    if name in arguments and not isinstance(arguments[name], str):
        return {**arguments, name: json.dumps(arguments[name])}
    return arguments


def _operation(client: Any, call: TaskCall) -> Any:
    name = call.action[:1].upper() + call.action[1:]
    if name not in client.meta.service_model.operation_names:
        raise TaskError("States.Runtime", f"{call.service} has no action {call.action}")
    return client.meta.service_model.operation_model(name)


def _states_name(name: str) -> str:
    """A member's name as Step Functions spells it: DBName is DbName, eTag is ETag.

    By the Java SDK's rule, which makes small letters of the capitals at the beginning alone (Utils,
    unCapitalize): ChecksumSHA256 stays as it is.
    """
    name = re.sub(r"^[A-Z]{2,}(?![a-z])|^[A-Z]+(?=[A-Z][a-z])", lambda run: run[0].lower(), name)
    return name[:1].upper() + name[1:]


def _to_api(value: Any, shape: Any, call: TaskCall) -> Any:
    """A task's arguments under the names of the service's API."""
    if shape is None:
        return value
    if shape.type_name == "structure" and isinstance(value, dict):
        members = {_states_name(name): (name, member) for name, member in shape.members.items()}
        unknown = value.keys() - members.keys()
        if unknown:
            field, action = sorted(unknown)[0], f"{call.service}:{call.action}"
            raise TaskError("States.Runtime", f"The field '{field}' is not supported by {action}")
        return {
            members[name][0]: _to_api(item, members[name][1], call) for name, item in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_to_api(item, shape.member, call) for item in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: _to_api(item, shape.value, call) for key, item in value.items()}
    if shape.type_name == "blob" and not isinstance(value, str):
        return json.dumps(value)
    return value


def _to_states(value: Any, shape: Any) -> Any:
    """An answer under the names, and with the JSON types, of Step Functions."""
    if shape.type_name == "structure":
        return {
            _states_name(name): _to_states(item, shape.members[name])
            for name, item in value.items()
            if name in shape.members and item is not None
        }
    if shape.type_name == "list":
        return [_to_states(item, shape.member) for item in value]
    if shape.type_name == "map":
        return {key: _to_states(item, shape.value) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if shape.type_name == "blob":
        return (value if isinstance(value, bytes) else value.read()).decode()
    return value


def _machine_of(execution: str) -> str:
    """The ARN of an execution's state machine."""
    return execution.rpartition(":")[0].replace(":execution:", ":stateMachine:")


def _client_error(prefix: str, error: botocore.exceptions.ClientError, model: Any) -> TaskError:
    """Name an error as the AWS SDK for Java, which Step Functions runs on, does.

    Errors of the service's model have a class of their own. All others (S3's 412 and 503 are such)
    share the service's class and differ in their message and status alone.
    """
    response: dict[str, Any] = dict(error.response)
    code = response.get("Error", {}).get("Code", "")
    shapes = {shape.error_code: shape.name for shape in model.error_shapes}
    # A HEAD has no body to tell its error's code in.
    shape = "NoSuchKey" if code == "404" and "NoSuchKey" in shapes else shapes.get(code)
    name = exception_class(shape) if shape else f"{pascal_case(prefix)}Exception"
    metadata = response.get("ResponseMetadata", {})
    cause = (
        f"{response.get('Error', {}).get('Message', '')} "
        f"(Service: {prefix}, Status Code: {metadata.get('HTTPStatusCode')}, "
        f"Request ID: {metadata.get('RequestId', '')})"
    )
    return TaskError(f"{prefix}.{name}", cause)
