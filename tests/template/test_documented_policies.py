"""Policies that let AWS's services in have the form that AWS documents.

Nobody here has seen a tighter one work. What could be tightened is in docs/security.md.
"""

from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from tests.security.grants import Statement, listed, statements

TEMPLATE: dict[str, Any] = yaml_parse((Path(__file__).parents[2] / "template.yaml").read_text())
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]

# Amazon Redshift Database Developer Guide, IAM policies for Amazon Redshift Spectrum, "Policies to
# grant minimum permissions": in one statement there, on the bucket and on the folder that is read.
SPECTRUM_BUCKET = {"s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"}
SPECTRUM_FOLDER = {"s3:GetObject", "s3:ListMultipartUploadParts"}
# There too, without those that write.
SPECTRUM_GLUE = {
    "glue:BatchGetPartition",
    "glue:GetDatabase",
    "glue:GetDatabases",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:GetTable",
    "glue:GetTables",
}
# Amazon Redshift Management Guide, Granting permissions to Amazon Redshift Serverless.
REDSHIFT = {"redshift.amazonaws.com", "redshift-serverless.amazonaws.com"}
KEY_FORMS = {
    # Amazon S3 User Guide, Granting permissions to publish event notification messages, AWS KMS
    # key policy: without a condition.
    "RawBucketNotifies": ({"kms:GenerateDataKey", "kms:Decrypt"}, set()),
    # Amazon SNS Developer Guide, Configuring AWS KMS permissions; the conditions as in AWS's
    # modern-data-architecture-accelerator, grantCloudWatchAlarmsTopicAccess.
    "AlarmsNotify": (
        {"kms:GenerateDataKey*", "kms:Decrypt"},
        {"aws:SourceAccount", "aws:SourceArn"},
    ),
    # Amazon CloudWatch Logs User Guide, Encrypt log data using AWS KMS.
    "LogsAreWritten": (
        {"kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"},
        {"kms:EncryptionContext:aws:logs:arn"},
    ),
}


def granting(service: str) -> list[Statement]:
    """The statements of Spectrum's role about a service's actions."""
    return [s for s in statements("SpectrumRole") if s.actions[0].startswith(f"{service}:")]


def test_spectrum_reads_its_folder_as_documented() -> None:
    granted = {s.resources[0]["Fn::Sub"]: set(s.actions) for s in granting("s3")}
    [bucket] = [resource for resource in granted if "/" not in resource]

    assert granted == {bucket: SPECTRUM_BUCKET, f"{bucket}/staging/*": SPECTRUM_FOLDER}


def test_spectrum_reads_the_catalog_as_documented() -> None:
    [statement] = granting("glue")

    assert set(statement.actions) == SPECTRUM_GLUE


def test_nothing_that_spectrum_may_do_has_a_condition() -> None:
    assert [s.sid for s in statements("SpectrumRole") if s.condition] == []


def test_spectrum_s_role_trusts_whom_redshift_asks_for() -> None:
    trust = RESOURCES["SpectrumRole"]["Properties"]["AssumeRolePolicyDocument"]
    [statement] = trust["Statement"]

    assert set(statement["Principal"]["Service"]) == REDSHIFT
    assert "Condition" not in statement


@pytest.mark.parametrize("sid", list(KEY_FORMS))
def test_service_may_use_the_key_as_documented(sid: str) -> None:
    policy = RESOURCES["EncryptionKey"]["Properties"]["KeyPolicy"]
    [statement] = [s for s in policy["Statement"] if s["Sid"] == sid]
    actions, keys = KEY_FORMS[sid]

    assert set(listed(statement["Action"])) == actions
    assert {key for test in statement.get("Condition", {}).values() for key in test} == keys
