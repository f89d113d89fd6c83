"""How CloudFormation makes up names, and which it and the services take."""

import json
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from local import names
from local.cloud import LaptopCloud


@pytest.mark.parametrize(
    ("stack", "logical_id", "most", "prefix"),
    [
        ("pipeline", "LoadRole", 64, "pipeline-LoadRole-"),
        # Both too long: half of the 50 characters each.
        ("s" * 30, "L" * 30, 64, "s" * 25 + "-" + "L" * 25 + "-"),
        # What one leaves, the other takes.
        ("s" * 40, "L" * 20, 64, "s" * 30 + "-" + "L" * 20 + "-"),
        ("s" * 20, "L" * 40, 64, "s" * 20 + "-" + "L" * 30 + "-"),
        # Seen: apc-crr-CustomS3AutoDeleteObjectsCustomResourcePro..., a function of a CDK stack.
        (
            "apc-crr",
            "CustomS3AutoDeleteObjectsCustomResourceProviderHandler9D90184F",
            64,
            "apc-crr-CustomS3AutoDeleteObjectsCustomResourceProv-",
        ),
        ("s" * 30, "L" * 30, 63, "s" * 25 + "-" + "L" * 24 + "-"),
        ("my--stack", "Role", 64, "my-stack-Role-"),
        ("stack", "Logical", 17, "stLo-"),
    ],
)
def test_name_is_cut_as_cloudformation_does(
    stack: str, logical_id: str, most: int, prefix: str
) -> None:
    made = names.prefix(stack, logical_id, most)

    assert made == prefix
    assert len(made) + names.SUFFIX_CHARACTERS <= most


@pytest.mark.parametrize(
    ("kind", "given", "reasons"),
    [
        ("AWS::S3::Bucket", "raw-bucket", []),
        ("AWS::S3::Bucket", "b" * 64, ["Bucket name should be between 3 and 63 characters long"]),
        ("AWS::S3::Bucket", "ab", ["Bucket name should be between 3 and 63 characters long"]),
        (
            "AWS::S3::Bucket",
            "Raw-bucket",
            [
                "Bucket name should not contain uppercase characters",
                "#/BucketName: failed validation constraint for keyword [pattern]",
            ],
        ),
        ("AWS::RedshiftServerless::Namespace", "n" * 64, []),
        (
            "AWS::RedshiftServerless::Namespace",
            "n" * 65,
            ["#/NamespaceName: expected maxLength: 64, actual: 65"],
        ),
        (
            "AWS::RedshiftServerless::Workgroup",
            "wg",
            ["#/WorkgroupName: expected minLength: 3, actual: 2"],
        ),
        (
            "AWS::StepFunctions::StateMachine",
            "m" * 81,
            ["#/StateMachineName: expected maxLength: 80, actual: 81"],
        ),
        ("AWS::Events::Rule", "r" * 65, ["#/Name: expected maxLength: 64, actual: 65"]),
        ("AWS::SQS::Queue", "q" * 900, []),
    ],
)
def test_name_that_is_not_taken_has_a_reason(kind: str, given: str, reasons: list[str]) -> None:
    property_name = names.SCHEMAS.get(kind, ("QueueName",))[0]

    assert list(names.misnamed(kind, {property_name: given})) == reasons


def bucket_stack(cloud: LaptopCloud, name: Any) -> dict[str, Any]:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}
    queue = {"Type": "AWS::SQS::Queue"}
    template = {"Resources": {"Queue": queue, "Bucket": {**bucket, "DependsOn": "Queue"}}}
    return {"TemplateBody": json.dumps(template)}


@pytest.mark.long
@pytest.mark.parametrize("stack", ["s" * 50, "Upper-case"])
def test_change_set_with_a_bad_bucket_name_fails_before_anything_is_made(
    cloud: LaptopCloud, stack: str
) -> None:
    client = cloud.client("cloudformation")
    body = bucket_stack(cloud, {"Fn::Sub": "${AWS::StackName}-raw-${AWS::AccountId}"})
    client.create_change_set(StackName=stack, ChangeSetName="c", ChangeSetType="CREATE", **body)

    made = client.describe_change_set(StackName=stack, ChangeSetName="c")
    assert (made["Status"], made["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "[AWS::EarlyValidation::PropertyValidation]" in made["StatusReason"]
    assert not client.list_stack_resources(StackName=stack)["StackResourceSummaries"]


@pytest.mark.long
def test_stack_with_a_bad_bucket_name_is_rolled_back(cloud: LaptopCloud) -> None:
    client = cloud.client("cloudformation")
    client.create_stack(StackName="badly-named", **bucket_stack(cloud, "Upper-case"))

    with pytest.raises(WaiterError):
        client.get_waiter("stack_create_complete").wait(
            StackName="badly-named", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
    reasons = [
        event.get("ResourceStatusReason", "")
        for event in client.describe_stack_events(StackName="badly-named")["StackEvents"]
    ]
    assert any("should not contain uppercase" in reason for reason in reasons)
