"""Names of resources: how CloudFormation makes them up, and which ones it and the services take."""

import re
from collections.abc import Iterator
from typing import Any

# What CloudFormation appends to a name that it makes up, without the hyphen before it.
SUFFIX_CHARACTERS = 12
# Shorter names than this get no hyphen between stack and logical id.
SEPARATED_FROM = 18

# The property that holds a type's name, its fewest and most characters, and what it may be made of:
# the schemas of CloudFormation's registry (cfn-lint carries them, data/schemas/providers).
SCHEMAS: dict[str, tuple[str, int, int, str]] = {
    "AWS::CloudWatch::Alarm": ("AlarmName", 1, 255, r"[\s\S]+"),
    "AWS::CloudWatch::CompositeAlarm": ("AlarmName", 1, 255, r"[\s\S]+"),
    "AWS::Events::Rule": ("Name", 1, 64, r"[.\-_A-Za-z0-9]+"),
    "AWS::Logs::LogGroup": ("LogGroupName", 1, 512, r"[.\-_/#A-Za-z0-9]+"),
    "AWS::RedshiftServerless::Namespace": ("NamespaceName", 3, 64, r"[a-z0-9-]+"),
    "AWS::RedshiftServerless::Workgroup": ("WorkgroupName", 3, 64, r"[a-z0-9-]+"),
    "AWS::S3::Bucket": ("BucketName", 3, 63, r"[a-z0-9][a-z0-9.-]*[a-z0-9]"),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", 1, 80, r"[0-9A-Za-z_-]+"),
}


def prefix(stack: str, logical_id: str, most: int) -> str:
    """What a made-up name of at most so many characters begins with, the last hyphen included.

    Stack and logical id share the room evenly, and one takes what the other leaves. Source:
    IdentifierUtils.java of aws-cloudformation/cloudformation-cli-java-plugin, with which AWS's
    handlers name what has no name.
    """
    stack = re.sub("-{2,}", "-", stack.lstrip("-"))
    is_separated = most >= SEPARATED_FROM
    room = most - SUFFIX_CHARACTERS - 1 - is_separated
    of_stack = min(len(stack), max((room + 1) // 2, room - len(logical_id)))
    hyphen = "-" if is_separated else ""
    return f"{stack[:of_stack]}{hyphen}{logical_id[: room - of_stack]}-"


def misnamed(kind: str, properties: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the name that a resource is given, if anything, in CloudFormation's words.

    Those for buckets are of Hubs-Foundation/hubs-cloud#13 and aws-amplify/amplify-cli#2928.
    """
    if kind not in SCHEMAS:
        return
    name_property, fewest, most, pattern = SCHEMAS[kind]
    name = properties.get(name_property)
    if not isinstance(name, str):
        return
    if kind == "AWS::S3::Bucket":
        if not fewest <= len(name) <= most:
            yield "Bucket name should be between 3 and 63 characters long"
        elif name != name.lower():
            yield "Bucket name should not contain uppercase characters"
    elif len(name) > most:
        yield f"#/{name_property}: expected maxLength: {most}, actual: {len(name)}"
    elif len(name) < fewest:
        yield f"#/{name_property}: expected minLength: {fewest}, actual: {len(name)}"
    if not re.fullmatch(pattern, name):
        yield f"#/{name_property}: failed validation constraint for keyword [pattern]"
