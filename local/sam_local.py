"""What `sam local invoke` needs to call the functions against a laptop cloud: template and events.

SAM gives a container no variable that the template does not name, resolves few references to
resources, and lets the shell's variables come before the template's. So the template that is
written here names all variables, and a file for `--env-vars`, which comes before the shell, holds
their values: each function's environment as it was deployed, credentials of the function's own
role, and where the laptop cloud is to a container.

A container cannot reach 127.0.0.1. Where Docker runs on this computer it reaches the address that
the computer has on Docker's bridge; Docker Desktop has a name for the computer instead.
"""

import json
import platform
import shutil
import socket
import subprocess
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no types
import yaml

from local.cloud import ACCOUNT, ANSWERS_AT, FUNCTION_HOST, REGION, CloudError
from local.deploy import PROJECT
from local.stack import Stack

EVENTS = PROJECT / "events"
FOLDER = Path("build/sam-local")
TEMPLATE_NAME = "template.json"
VARIABLES_NAME = "variables.json"
# Where the answers of the custom resource go, as CloudFormation has a bucket for them.
ANSWERS_BUCKET = "sam-local-answers"
# What the events have in place of what only a deployment knows.
SPECTRUM_ROLE = "redshift-pipeline-SpectrumRole-ExAmPlE00000"
ANSWER_URL = f"{ANSWERS_AT}/example?X-Amz-Signature=example"
# Where the runtime has a function's code, and its own; Python looks there when it starts.
PYTHON_PATH = "/var/task:/var/runtime"
DESKTOP_HOST = "host.docker.internal"
BRIDGE_NAME = '{{index .Options "com.docker.network.bridge.name"}}'
CREDENTIALS_LIFETIME_SECONDS = 12 * 3600
ANSWER_LIFETIME_SECONDS = 7 * 24 * 3600
X86_64 = ("x86_64", "AMD64")


def bridge_address() -> str:
    """The address of this computer on Docker's bridge; "" where it has none (Docker Desktop).

    Raises CloudError where there is no Docker.
    """
    command = ["docker", "network", "inspect", "bridge", "--format", BRIDGE_NAME]
    try:
        name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except FileNotFoundError:
        raise CloudError("`sam local invoke` needs Docker: there is no command docker.") from None
    except subprocess.CalledProcessError as error:
        raise CloudError(f"`sam local invoke` needs Docker: {error.stderr.strip()}") from None
    addresses = psutil.net_if_addrs().get(name, [])
    return next((one.address for one in addresses if one.family == socket.AF_INET), "")


def write(stack: Stack, build_folder: Path, bridge: str) -> None:
    """Write FOLDER, which goes with the cloud, for the functions in `build_folder`."""
    endpoint_url = f"http://{bridge or DESKTOP_HOST}:{stack.cloud.port}"
    folder = PROJECT / FOLDER
    stack.cloud.at_stop(lambda: shutil.rmtree(folder, ignore_errors=True))
    template = yaml.safe_load((build_folder / "template.yaml").read_text())
    variables = {
        logical_id: _environment(stack, logical_id, endpoint_url)
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    for logical_id, values in variables.items():
        shutil.copy(Path(FUNCTION_HOST) / "sitecustomize.py", build_folder / logical_id)
        properties = template["Resources"][logical_id]["Properties"]
        properties["CodeUri"] = str(build_folder / logical_id)
        properties["Environment"] = {"Variables": dict.fromkeys(values, "")}
    _write(folder / TEMPLATE_NAME, json.dumps(template, indent=2) + "\n")
    _write(folder / VARIABLES_NAME, json.dumps(variables, indent=2) + "\n")
    stack.s3.create_bucket(Bucket=ANSWERS_BUCKET)
    for file in sorted(EVENTS.rglob("*.json")):
        _write(folder / "events" / file.relative_to(EVENTS), _event(stack, file))


def command(function: str, event: str) -> list[str]:
    """`sam`'s arguments that call a function with an event, given by its path under events/."""
    is_x86_64 = platform.machine() in X86_64
    return [
        *("local", "invoke", function),
        *("--template", str(FOLDER / TEMPLATE_NAME)),
        *("--env-vars", str(FOLDER / VARIABLES_NAME)),
        *("--event", str(FOLDER / "events" / event)),
        *(["--parameter-overrides", "Architecture=x86_64"] if is_x86_64 else []),
    ]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _environment(stack: Stack, logical_id: str, endpoint_url: str) -> dict[str, str]:
    deployed = stack.cloud.client("cloudformation").describe_stack_resource(
        StackName=stack.name, LogicalResourceId=logical_id
    )["StackResourceDetail"]
    function = stack.cloud.client("lambda").get_function_configuration(
        FunctionName=deployed["PhysicalResourceId"]
    )
    variables = {
        name: value.replace(stack.cloud.endpoint_url, endpoint_url)
        for name, value in function["Environment"]["Variables"].items()
    }
    return (
        variables
        | _credentials(stack, function["Role"])
        | {
            "AWS_ENDPOINT_URL": endpoint_url,
            "PYTHONPATH": PYTHON_PATH,
        }
    )


def _credentials(stack: Stack, role: str) -> dict[str, str]:
    credentials = stack.cloud.client("sts").assume_role(
        RoleArn=role, RoleSessionName="sam-local", DurationSeconds=CREDENTIALS_LIFETIME_SECONDS
    )["Credentials"]
    return {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }


def _event(stack: Stack, file: Path) -> str:
    """The event with what only a deployment knows: its secrets, its role, where answers go."""
    text = file.read_text()
    name = file.relative_to(EVENTS)
    known = {
        f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:loader": stack.outputs[
            "LoaderSecretArn"
        ],
        f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:admin": stack.outputs["AdminSecretArn"],
        f"arn:aws:iam::{ACCOUNT}:role/{SPECTRUM_ROLE}": stack.outputs["SpectrumRoleArn"],
        ANSWER_URL: _answer_url(stack, name),
    }
    for example, value in known.items():
        text = text.replace(f'"{example}"', json.dumps(value))
    return text


def _answer_url(stack: Stack, name: Path) -> str:
    url = stack.s3.generate_presigned_url(
        "put_object",
        Params={"Bucket": ANSWERS_BUCKET, "Key": str(name)},
        ExpiresIn=ANSWER_LIFETIME_SECONDS,
    )
    return str(url).replace(stack.cloud.endpoint_url, ANSWERS_AT)
