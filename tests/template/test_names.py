"""How long a stack's name may be: every name made of it is taken, and policies find what it made.

The rules are the services' own: what they take as a name, and how CloudFormation cuts the names
that it makes up (local/names.py has both, with their sources).
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from samtranslator.yaml_helper import yaml_parse

from local import names as services
from tests.template.test_combinations import deployed
from tools import names

ROOT = Path(__file__).parents[2]
DELIVERY = yaml_parse((ROOT / "delivery" / "github.yaml").read_text())
ACCOUNT = "123456789012"

# What an ARN holds before a resource's name, and the most characters of a name that is made up.
MADE_UP: dict[str, tuple[str, int]] = {
    "AWS::Events::Rule": (":rule/", 64),
    "AWS::IAM::Role": (":role/", 64),
    "AWS::Lambda::Function": (":function:", 64),
    "AWS::Logs::LogGroup": (":log-group:", 512),
    "AWS::SNS::Topic": (f":{ACCOUNT}:", 256),
    "AWS::SQS::Queue": (f":{ACCOUNT}:", 80),
}
NAMED = {
    "AWS::CloudWatch::Alarm": ":alarm:",
    "AWS::CloudWatch::CompositeAlarm": ":alarm:",
    "AWS::S3::Bucket": ":::",
    "AWS::StepFunctions::StateMachine": ":stateMachine:",
}


def regions() -> set[str]:
    session = botocore.session.Session()
    return {
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("s3", partition)
    }


LONGEST_REGION = max(regions(), key=len)


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return dict(deployed({})["Resources"])


def resolved(value: Any, stack: str, region: str) -> Any:
    """A value with the stack's name, account and region put in; what else it refers to is `?`."""
    known = {"AWS::StackName": stack, "StackName": stack, "AWS::AccountId": ACCOUNT}
    known |= {"AWS::Region": region, "AWS::Partition": "aws"}
    match value:
        case {"Ref": name}:
            return known.get(name, "?")
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\${([^}]+)}", lambda found: known.get(found.group(1), "?"), text)
        case {"Fn::Join": ["_", {"Fn::Split": ["-", whole]}]}:
            return resolved(whole, stack, region).replace("-", "_")
        case dict():
            return {key: resolved(item, stack, region) for key, item in value.items()}
        case list():
            return [resolved(item, stack, region) for item in value]
    return value


def texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from texts(item)
        case list():
            for item in value:
                yield from texts(item)


def name_of(logical_id: str, body: dict[str, Any], stack: str) -> str:
    """A resource's name: the given one, or the one that CloudFormation makes up."""
    kind = body["Type"]
    given = services.SCHEMAS.get(kind, ("",))[0]
    if given in body["Properties"]:
        return str(body["Properties"][given])
    _, most = MADE_UP[kind]
    return services.prefix(stack, logical_id, most) + "X" * services.SUFFIX_CHARACTERS


def refused(resources: dict[str, Any], stack: str, region: str) -> Iterator[str]:
    """The names that a service does not take."""
    for logical_id, body in resolved(resources, stack, region).items():
        for reason in services.misnamed(body["Type"], body["Properties"]):
            yield f"{logical_id}: {reason}"


def unmatched(
    resources: dict[str, Any], policies: Any, stack: str, region: str, kinds: set[str]
) -> Iterator[str]:
    """The resources of these kinds that no pattern of the policies for the stack matches."""
    patterns = [
        text
        for text in texts(resolved(policies, stack, region))
        if text.startswith("arn:") and re.search(rf"[:/]{stack}[-/]", text)
    ]
    assert patterns
    for logical_id, body in resolved(resources, stack, region).items():
        if body["Type"] not in kinds:
            continue
        before = NAMED.get(body["Type"]) or MADE_UP[body["Type"]][0]
        arn = before + name_of(logical_id, body, stack)
        if not any(fnmatchcase(arn, "*" + _from(pattern, before)) for pattern in patterns):
            yield arn


def _from(pattern: str, before: str) -> str:
    """A pattern from what stands before the resource's name on; what has none matches nothing."""
    found = pattern.find(before)
    return pattern[found:] if found >= 0 else "-"


def held(resources: dict[str, Any], stack: str, region: str) -> list[str]:
    """All that is wrong with a stack's name."""
    kinds = {*MADE_UP, *NAMED}
    return [
        *refused(resources, stack, region),
        *unmatched(resources, DELIVERY["Resources"], stack, region, kinds),
    ]


def longest(resources: dict[str, Any], region: str) -> int:
    lengths = [n for n in range(3, 64) if not held(resources, "a" * n, region)]
    assert lengths == list(range(3, len(lengths) + 3)), "a longer one holds and a shorter does not"
    return lengths[-1]


def test_longest_name_is_the_one_that_the_template_allows(resources: dict[str, Any]) -> None:
    assert longest(resources, LONGEST_REGION) == names.LONGEST
    assert longest(resources, "us-east-1") == names.LONGEST


def test_name_one_longer_is_cut_where_policies_no_longer_match(resources: dict[str, Any]) -> None:
    wrong = held(resources, "a" * (names.LONGEST + 1), "us-east-1")

    assert any(name.startswith(":rule/") for name in wrong)


def test_hyphens_in_the_name_change_nothing(resources: dict[str, Any]) -> None:
    assert not held(resources, "redshift-pipeline-prod-eu"[: names.LONGEST], LONGEST_REGION)


def test_double_hyphens_are_cut(resources: dict[str, Any]) -> None:
    assert held(resources, "pipe--line", "us-east-1")
    assert names.problem("pipe--line")


def test_pipeline_works_by_itself_under_any_name_that_its_buckets_take(
    resources: dict[str, Any],
) -> None:
    """Whoever deploys without `delivery/` and without `make` meets an error of S3's, or none."""
    assuming = {
        logical_id: body
        for logical_id, body in resources.items()
        if body["Type"] != "AWS::Events::Rule"
        or any("RoleArn" in target for target in body["Properties"]["Targets"])
    }
    kinds = {"AWS::Events::Rule", "AWS::Logs::LogGroup", *NAMED} - {"AWS::S3::Bucket"}
    checked = 0
    for characters in range(3, 64):
        stack = "a" * characters
        if not list(refused(resources, stack, "us-east-1")):
            assert not list(unmatched(assuming, resources, stack, "us-east-1", kinds))
            checked += 1
    assert checked == 30


def test_delivery_takes_no_longer_name() -> None:
    parameter = DELIVERY["Parameters"]["StackName"]

    assert parameter["MaxLength"] == names.LONGEST
    for name in (
        "redshift-pipeline-prod",
        "pipe--line",
        "Pipeline",
        "1pipeline",
        "pipeline-",
        "pipeline-abandoned",
    ):
        fits = bool(re.fullmatch(parameter["AllowedPattern"], name))
        assert fits == (not names.problem(name))


@pytest.mark.parametrize("name", ["redshift-pipeline", "redshift-pipeline-dev", "abc"])
def test_good_name_is_taken(name: str) -> None:
    assert names.problem(name) == ""
