"""Rotation of secrets for MiniStack, whose own RotateSecret calls no function.

RotateSecret calls the secret's function once for each step, as Secrets Manager does; a step that
fails leaves the version pending, and the next RotateSecret takes the steps again. Schedules do not
come by themselves.
"""

import json
import logging
import threading
import time
from typing import Any

from ministack.core.responses import error_response_json, json_response, new_uuid
from ministack.services import lambda_svc, secretsmanager
from ministack.services.cloudformation import provisioners

logger = logging.getLogger(__name__)

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
CALLER = {"Service": "secretsmanager.amazonaws.com"}

_get_secret_value = secretsmanager._get_secret_value


def install() -> None:
    """Put in RotateSecret, and AWS::SecretsManager::RotationSchedule."""
    secretsmanager._rotate_secret = rotate
    secretsmanager._get_secret_value = get_value
    provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::RotationSchedule"] = {
        "create": create_schedule,
        "update": update_schedule,
        "delete": cancel_schedule,
    }


def rotate(request: Any) -> Any:
    """RotateSecret."""
    _, secret = secretsmanager._resolve(request.get("SecretId"))
    if not secret:
        return _refusal("ResourceNotFoundException", "There is no such secret.")
    function = request.get("RotationLambdaARN") or secret["RotationLambdaARN"]
    if not function or not _may_be_called(function):
        return _refusal("InvalidRequestException", "There is no function that may be called.")
    secret["RotationEnabled"] = True
    secret["RotationLambdaARN"] = function
    secret["RotationRules"] = request.get("RotationRules") or secret["RotationRules"]
    unfinished = _unfinished_version(secret)
    version_id = unfinished or request.get("ClientRequestToken") or new_uuid()
    if request.get("RotateImmediately", True):
        if not unfinished:
            _add_pending_version(secret, version_id)
        # The function calls this server, which has to go on serving.
        arguments = (_executable(function), secret["ARN"], version_id)
        threading.Thread(target=_take_steps, args=arguments, daemon=True).start()
    if unfinished:
        message = "A previous rotation isn't complete. That rotation will be reattempted."
        return _refusal("InvalidRequestException", message)
    return json_response({"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": version_id})


def get_value(request: Any) -> Any:
    """GetSecretValue, to which a pending version that the function has not filled is none."""
    _, secret = secretsmanager._resolve(request.get("SecretId"))
    version = (secret or {"Versions": {}})["Versions"].get(request.get("VersionId"))
    if version and version["SecretString"] is None and version["SecretBinary"] is None:
        return _refusal("ResourceNotFoundException", "The version has no value.")
    return _get_secret_value(request)


def create_schedule(_id: str, properties: Any, _stack: str) -> tuple[str, dict[str, Any]]:
    """Raises ValueError, which fails the resource."""
    immediately = str(properties.get("RotateImmediatelyOnUpdate", True)).lower() == "true"
    status, _, answer = rotate({**properties, "RotateImmediately": immediately})
    if status != 200:
        raise ValueError(json.loads(answer)["message"])
    return properties["SecretId"], {}


def update_schedule(_arn: str, _old: Any, new: Any, stack: str) -> tuple[str, dict[str, Any]]:
    """Raises ValueError, which fails the resource."""
    return create_schedule("", new, stack)


def cancel_schedule(arn: str, _properties: Any) -> None:
    _, secret = secretsmanager._resolve(arn)
    if secret:
        secret["RotationEnabled"] = False


def _refusal(code: str, message: str) -> Any:
    return error_response_json(code, message, 400)


def _may_be_called(function: str) -> bool:
    """Whether the function's policy lets Secrets Manager call it."""
    record, _, _ = lambda_svc._get_func_record_for_ref(function)
    statements = (record or {}).get("policy", {}).get("Statement", [])
    return any(statement["Principal"] == CALLER for statement in statements)


def _executable(function: str) -> Any:
    record, config, _ = lambda_svc._get_func_record_for_ref(function)
    return lambda_svc._execution_record_for_config(record, config)


def _unfinished_version(secret: Any) -> str:
    """The version that is pending and not current; "" where there is none."""
    for version_id, version in secret["Versions"].items():
        if "AWSPENDING" in version["Stages"] and "AWSCURRENT" not in version["Stages"]:
            return str(version_id)
    return ""


def _add_pending_version(secret: Any, version_id: str) -> None:
    for version in secret["Versions"].values():
        if "AWSPENDING" in version["Stages"]:
            version["Stages"].remove("AWSPENDING")
    secret["Versions"][version_id] = {
        "SecretString": None,
        "SecretBinary": None,
        "CreatedDate": int(time.time()),
        "Stages": ["AWSPENDING"],
    }


def _take_steps(function: Any, secret_arn: str, version_id: str) -> None:
    for step in STEPS:
        event = {"Step": step, "SecretId": secret_arn, "ClientRequestToken": version_id}
        outcome = lambda_svc._execute_function_with_config_scope(function, event)
        if outcome.get("error"):
            logger.warning("rotation of %s failed in %s: %s", secret_arn, step, outcome)
            return
