"""What each role may do, as a page: docs/security.md.

What is granted, the template says. Who uses it, the tests record: `make security` writes the
page as build/security.md. What stands outside the two marks is written by hand and kept.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.security.grants import (
    EXCEPTIONS,
    RESOURCES,
    ROOT,
    Statement,
    excused,
    listed,
    roles,
    statements,
)

PATH = ROOT / "docs" / "security.md"
WRITTEN = ROOT / "build" / "security.md"
BEGIN = "<!-- make security writes what follows -->"
END = "<!-- and ends here -->"
NOT_RECORDED = "not recorded: "

# Role, statement and action; the names of those who made such calls.
Callers = Mapping[tuple[str, str, str], frozenset[str]]


def written(document: str, callers: Callers) -> str:
    """The document with new tables."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = "\n".join(line for part in (_roles(callers), _outsiders(), _wide()) for line in part)
    return f"{before}{BEGIN}\n\n{lines.strip()}\n\n{END}{after}"


def read_callers(document: str) -> dict[tuple[str, str, str], frozenset[str]]:
    """The callers that the document names."""
    found = {}
    role = ""
    for line in document.partition(BEGIN)[2].partition(END)[0].splitlines():
        if line.startswith("### "):
            role = line.removeprefix("### ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 5 and cells[1].startswith("`"):
            sid, action, *_, names = cells
            is_known = names and not names.startswith(NOT_RECORDED)
            callers = frozenset(names.split(", ")) if is_known else frozenset()
            found[role, sid, action.strip("`")] = callers
    return found


def _roles(callers: Callers) -> Iterator[str]:
    yield "## Roles"
    for role in roles():
        yield f"\n### {role}\n"
        yield f"Assumed by {_trust(role)}.\n"
        yield "| Statement | Action | Resource | Condition | Used by |"
        yield "| --- | --- | --- | --- | --- |"
        for statement in statements(role):
            yield from _rows(statement, callers)


def _rows(statement: Statement, callers: Callers) -> Iterator[str]:
    resources = "<br>".join(f"`{name(resource)}`" for resource in statement.resources)
    condition = _conditions(statement.condition)
    for action in statement.actions:
        names = callers.get((statement.role, statement.sid, action), frozenset())
        used_by = ", ".join(sorted(names)) or _excuse(statement.sid, action)
        cells = (statement.sid, f"`{action}`", resources, condition, used_by)
        yield f"| {' | '.join(cells)} |"


def _excuse(sid: str, action: str) -> str:
    for exception in excused():
        if exception.covers(sid, action):
            return f"{NOT_RECORDED}{exception.reason}"
    return ""


def _trust(role: str) -> str:
    [statement] = RESOURCES[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    services = " and ".join(f"`{service}`" for service in listed(statement["Principal"]["Service"]))
    condition = statement.get("Condition")
    return f"{services}, where {_conditions(condition)}" if condition else services


def _outsiders() -> Iterator[str]:
    yield "\n## Who may come from outside\n"
    yield "By the policies of the resources themselves. A key of your own (`KmsKeyArn`) needs the"
    yield "statements of `EncryptionKey` in its policy.\n"
    yield "| Resource | Statement | Service | Actions | Condition |"
    yield "| --- | --- | --- | --- | --- |"
    for resource, statement in outsiders():
        cells = (
            resource,
            statement["Sid"],
            f"`{name(statement['Principal']['Service'])}`",
            ", ".join(f"`{action}`" for action in listed(statement["Action"])),
            _conditions(statement.get("Condition", {})),
        )
        yield f"| {' | '.join(cells)} |"


def outsiders() -> Iterator[tuple[str, dict[str, Any]]]:
    """The statements of resources' policies that let a service in, with the resource's name."""
    for resource, body in RESOURCES.items():
        properties = body.get("Properties", {})
        document = properties.get("KeyPolicy") or properties.get("PolicyDocument") or {}
        for statement in document.get("Statement", []):
            if statement["Effect"] == "Allow" and "Service" in statement["Principal"]:
                yield resource, statement


def _wide() -> Iterator[str]:
    yield "\n## Where no resource is named\n"
    yield "| Actions | Why |"
    yield "| --- | --- |"
    for entry in EXCEPTIONS["wide"]:
        yield f"| {', '.join(f'`{action}`' for action in entry['actions'])} | {entry['reason']} |"


def _conditions(condition: dict[str, Any]) -> str:
    return "<br>".join(
        f"`{key}` {'like' if 'Like' in test else 'is'} "
        + " or ".join(f"`{name(value)}`" for value in listed(values))
        for test, keys in condition.items()
        for key, values in keys.items()
    )


def name(value: Any) -> str:
    """A resource of the template, or a value of a condition, as short as it can be told."""
    match value:
        case str():
            return value
        case {"Ref": "AWS::AccountId"}:
            return "this account"
        case {"Ref": target}:
            return str(target)
        case {"Fn::GetAtt": [target, *_]}:
            return str(target)
        case {"Fn::If": [_, one, {"Ref": "AWS::NoValue"}]}:
            return name(one)
        case {"Fn::If": [_, one, other]}:
            return f"{name(one)} or {name(other)}"
        case {"Fn::Sub": text}:
            return _shortened(text)
        case _:
            return json.dumps(value)


def _shortened(text: str) -> str:
    text = re.sub(r"^arn:\$\{AWS::Partition\}:", "", text)
    text = text.replace(":${AWS::Region}:${AWS::AccountId}:", " ")
    text = text.replace("-${AWS::AccountId}-${AWS::Region}", "-…").replace(":::", " ")
    text = text.replace(".${AWS::Region}.${AWS::URLSuffix}", "").replace("AWS::", "")
    return re.sub(r"\$\{(\w+)(\.\w+)?\}", r"\1", text)
