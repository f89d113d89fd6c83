"""Encryption, TLS, confused deputies and what is kept: held of every resource that is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

TEMPLATE: dict[str, Any] = yaml_parse((Path(__file__).parents[2] / "template.yaml").read_text())
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
KEY = {"Fn::If": ["MakesKey", {"Fn::GetAtt": ["EncryptionKey", "Arn"]}, {"Ref": "KmsKeyArn"}]}
OPTIONAL_KEY = {"Fn::If": ["UsesKey", KEY, {"Ref": "AWS::NoValue"}]}
KEY_PROPERTY = {
    "AWS::Logs::LogGroup": "KmsKeyId",
    "AWS::RedshiftServerless::Namespace": "KmsKeyId",
    "AWS::SecretsManager::Secret": "KmsKeyId",
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::SQS::Queue": "KmsMasterKeyId",
}
POLICY_TARGETS = {
    "AWS::S3::BucketPolicy": lambda properties: [properties["Bucket"]],
    "AWS::SNS::TopicPolicy": lambda properties: properties["Topics"],
    "AWS::SQS::QueuePolicy": lambda properties: properties["Queues"],
}
TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}
# Let in without a condition, as AWS documents it (tests/template/test_documented_policies.py).
UNCONDITIONAL = {
    ("EncryptionKey", "RawBucketNotifies"): "the queue's own policy asks whose bucket it is",
    ("SpectrumRole", ""): "a role is attached to a warehouse of its own account only",
}
DEPUTY_KEYS = {"aws:SourceAccount", "aws:SourceArn", "kms:EncryptionContext:aws:logs:arn"}


def of_type(*types: str) -> list[str]:
    return [name for name, body in RESOURCES.items() if body["Type"] in types]


def policies() -> Iterator[tuple[str, dict[str, Any]]]:
    """The policies that say who may come from outside: of resources, and the trust of roles."""
    for name, body in RESOURCES.items():
        properties = body.get("Properties", {})
        for kind in ("AssumeRolePolicyDocument", "PolicyDocument", "KeyPolicy"):
            if kind in properties:
                yield name, properties[kind]


@pytest.mark.parametrize("name", of_type(*KEY_PROPERTY))
def test_what_is_kept_is_encrypted_with_the_key(name: str) -> None:
    body = RESOURCES[name]
    key = body["Properties"][KEY_PROPERTY[body["Type"]]]

    assert key in (OPTIONAL_KEY, {"Fn::If": ["UsesKey", KEY, "alias/aws/sns"]})


@pytest.mark.parametrize("name", of_type("AWS::S3::Bucket"))
def test_bucket_is_encrypted_with_the_key(name: str) -> None:
    [rule] = RESOURCES[name]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    assert rule["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": {"Fn::If": ["UsesKey", "aws:kms", "AES256"]},
        "KMSMasterKeyID": OPTIONAL_KEY,
    }


@pytest.mark.parametrize("name", of_type("AWS::S3::Bucket", "AWS::SNS::Topic", "AWS::SQS::Queue"))
def test_no_request_comes_without_tls(name: str) -> None:
    documents = [
        body["Properties"]["PolicyDocument"]
        for body in RESOURCES.values()
        if body["Type"] in POLICY_TARGETS
        and {"Ref": name} in POLICY_TARGETS[body["Type"]](body["Properties"])
    ]
    denials = [
        statement
        for document in documents
        for statement in document["Statement"]
        if statement["Effect"] == "Deny" and statement.get("Condition") == TLS_ONLY
    ]

    assert [denial["Principal"] for denial in denials] == ["*"]


@pytest.mark.parametrize(("name", "document"), list(policies()), ids=lambda value: str(value)[:30])
def test_service_that_comes_from_outside_comes_for_us(name: str, document: dict[str, Any]) -> None:
    for statement in document["Statement"]:
        if statement["Effect"] == "Allow" and "Service" in statement["Principal"]:
            asked = {key for test in statement.get("Condition", {}).values() for key in test}
            is_excepted = (name, statement.get("Sid", "")) in UNCONDITIONAL
            assert bool(asked & DEPUTY_KEYS) != is_excepted, (name, statement)


@pytest.mark.parametrize("name", of_type("AWS::S3::Bucket"))
def test_what_uploads_leave_behind_goes(name: str) -> None:
    rules = RESOURCES[name]["Properties"]["LifecycleConfiguration"]["Rules"]

    assert {"DaysAfterInitiation": 1} in [
        rule.get("AbortIncompleteMultipartUpload") for rule in rules
    ]


def test_no_rule_takes_a_version_that_may_wait() -> None:
    rules = RESOURCES["RawBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = [
        rule for rule in rules if {"ExpirationInDays", "NoncurrentVersionExpiration"} & rule.keys()
    ]

    assert [rule["Prefix"] for rule in expiring] == ["staging/"]


def test_warehouse_outlives_the_stack_and_a_failed_first_deployment_does_not() -> None:
    namespace = RESOURCES["WarehouseNamespace"]

    assert (namespace["DeletionPolicy"], namespace["UpdateReplacePolicy"]) == (
        "RetainExceptOnCreate",
        "Retain",
    )


def test_key_outlives_what_it_encrypts() -> None:
    key = RESOURCES["EncryptionKey"]

    assert key["Properties"]["EnableKeyRotation"] is True
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == (
        "RetainExceptOnCreate",
        "Retain",
    )


@pytest.mark.parametrize("name", of_type("AWS::Lambda::Permission"))
def test_function_is_called_for_us_alone(name: str) -> None:
    assert {"SourceArn", "SourceAccount"} & RESOURCES[name]["Properties"].keys()


@pytest.mark.parametrize("name", of_type("AWS::SecretsManager::Secret"))
def test_secret_is_rotated_once_its_user_exists(name: str) -> None:
    [schedule] = [
        body
        for body in RESOURCES.values()
        if body["Type"] == "AWS::SecretsManager::RotationSchedule"
        and body["Properties"]["SecretId"] == {"Ref": name}
    ]

    assert "AppliedSql" in schedule["DependsOn"]
    assert schedule["Properties"]["RotateImmediatelyOnUpdate"] is False
