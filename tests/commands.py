"""The shell commands of the documents, and whether the AWS CLI would take them.

Operations, options and values are compared with botocore's models, which the CLI is made from.
"""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import jmespath
from awscli.customizations.argrename import ARGUMENT_RENAMES
from botocore import xform_name
from botocore.exceptions import UnknownServiceError

ROOT = Path(__file__).parents[1]
# Both versions of the CLI take these with every command.
GLOBAL = {"query", "output", "region", "profile", "endpoint-url", "no-paginate"}
PAGING = {"max-items", "page-size", "starting-token"}
# What is not an operation of an API, with the options that it takes.
CUSTOM = {
    ("s3", "cp"): {"recursive", "dryrun", "exclude", "include"},
    ("s3", "mv"): {"recursive", "dryrun", "exclude", "include"},
    ("cloudformation", "deploy"): {
        "template-file",
        "stack-name",
        "capabilities",
        "parameter-overrides",
    },
    ("logs", "tail"): {"since", "follow", "format", "filter-pattern"},
    ("sso", "login"): {"sso-session"},
    ("configure", "sso"): set(),
}
NAMES = {"s3api": "s3"}


def of_blocks(path: Path) -> Iterator[str]:
    """The commands in the document's shell blocks."""
    text = path.read_text()
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                yield line.strip()


def of_sentences(path: Path) -> Iterator[str]:
    """The commands of the AWS CLI that its sentences name, which may leave options out."""
    outside = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`(aws [^`]+)`", outside)


def placeholders(command: str) -> list[str]:
    return re.findall(r"<([^<>]+)>", command)


def words(command: str) -> list[str]:
    """A command's words, each placeholder one of them; `*` stands in it."""
    return shlex.split(re.sub(r"<[^<>]+>", "*", command), comments=True)


def faults(command: str) -> list[str]:
    """What the AWS CLI would not take of a command that begins with `aws`.

    Raises JMESPathError for a --query that is none.
    """
    _, service, operation, *rest = words(command)
    options = _options(rest)
    for query in options.get("query", []):
        jmespath.compile(query)
    if (service, operation) in CUSTOM:
        unknown = set(options) - CUSTOM[service, operation] - GLOBAL
        return [f"unknown: --{name}" for name in sorted(unknown)]
    try:
        model = _model(NAMES.get(service, service))
    except UnknownServiceError:
        return [f"no service {service}"]
    known = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in known:
        return [f"no operation {service} {operation}"]
    renamed = {
        new: old.rpartition(".")[2]
        for old, new in ARGUMENT_RENAMES.items()
        if old.startswith((f"{service}.{operation}.", f"{service}.*."))
    }
    options = {renamed.get(name, name): values for name, values in options.items()}
    return list(_faults_of(model.operation_model(known[operation]).input_shape, options))


@cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def _options(rest: list[str]) -> dict[str, list[str]]:
    """The values that follow each option; a file to write to is none of them."""
    options: dict[str, list[str]] = {}
    name = ""
    for word in rest:
        if word.startswith("--"):
            name = word.removeprefix("--")
            options[name] = []
        elif name:
            options[name].append(word)
    return options


def _faults_of(shape: Any, options: dict[str, list[str]]) -> Iterator[str]:
    members = shape.members if shape else {}
    known = {xform_name(name, "-"): member for name, member in members.items()}
    known |= {f"no-{name}": m for name, m in known.items() if m.type_name == "boolean"}
    for name, values in options.items():
        if name in GLOBAL | PAGING:
            continue
        if name not in known:
            yield f"unknown: --{name}"
        else:
            yield from _bad_values(name, known[name], values)
    needed = {xform_name(name, "-") for name in (shape.required_members if shape else [])}
    for name in sorted(needed - set(options)):
        yield f"missing: --{name}"


def _bad_values(name: str, shape: Any, values: list[str]) -> Iterator[str]:
    if not values and shape.type_name != "boolean":
        yield f"without a value: --{name}"
    element = shape.member if shape.type_name == "list" else shape
    allowed = getattr(element, "enum", [])
    for value in values:
        if allowed and value not in allowed and "*" not in value:
            yield f"--{name} is none of {allowed}: {value}"
