"""What the pipeline could not read is refused to its sender, as S3 can; the rest stands aside."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.deployed_pipeline import WEEK, Pipeline
from tests.security.grants import logical_ids

DAY = WEEK[0].read_bytes()
KEY = "raw/flights/day.csv"
OWN_KEY = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}


def put(pipeline: Pipeline, how: dict[str, Any], key: str = KEY) -> None:
    pipeline.stack.s3.put_object(
        Bucket=pipeline.stack.outputs["RawBucketName"], Key=key, Body=DAY, **how
    )


def begin_in_parts(pipeline: Pipeline, how: dict[str, Any]) -> None:
    pipeline.stack.s3.create_multipart_upload(
        Bucket=pipeline.stack.outputs["RawBucketName"], Key=KEY, **how
    )


def copy(pipeline: Pipeline, how: dict[str, Any]) -> None:
    bucket = pipeline.stack.outputs["RawBucketName"]
    pipeline.stack.s3.put_object(Bucket=bucket, Key="elsewhere.csv", Body=DAY)
    pipeline.stack.s3.copy_object(
        Bucket=bucket, Key=KEY, CopySource=f"{bucket}/elsewhere.csv", **how
    )


def key_of_the_stack(pipeline: Pipeline) -> str:
    names = {logical: physical for physical, logical in logical_ids(pipeline.stack).items()}
    keys = pipeline.stack.cloud.client("kms")
    return str(keys.describe_key(KeyId=names["EncryptionKey"])["KeyMetadata"]["Arn"])


def named(key: str) -> dict[str, str]:
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}


REFUSED = {
    "under a key of the sender's": OWN_KEY,
    "under another key": named("arn:aws:kms:us-east-1:111122223333:key/another"),
    "in Glacier": {"StorageClass": "GLACIER"},
    "in Deep Archive": {"StorageClass": "DEEP_ARCHIVE"},
}


@pytest.mark.parametrize("upload", [put, begin_in_parts, copy])
@pytest.mark.parametrize("how", REFUSED.values(), ids=REFUSED.keys())
def test_what_could_not_be_read_is_refused(pipeline: Pipeline, how: Any, upload: Any) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        upload(pipeline, how)

    assert pipeline.versions("raw/") == []


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"ServerSideEncryption": "AES256"},
        {"StorageClass": "STANDARD_IA"},
        {"StorageClass": "GLACIER_IR"},
        {"StorageClass": "INTELLIGENT_TIERING"},
    ],
    ids=lambda how: " ".join(how.values()) or "plain",
)
def test_what_can_be_read_is_loaded(pipeline: Pipeline, how: dict[str, str]) -> None:
    put(pipeline, how)
    [load] = pipeline.next_loads()

    assert load["status"] == "SUCCEEDED"


def test_key_of_the_stack_may_be_named(pipeline: Pipeline) -> None:
    put(pipeline, named(key_of_the_stack(pipeline)))
    [load] = pipeline.next_loads()

    assert load["status"] == "SUCCEEDED"


def test_upload_in_parts_is_loaded(pipeline: Pipeline) -> None:
    name = {"Bucket": pipeline.stack.outputs["RawBucketName"], "Key": KEY}
    s3 = pipeline.stack.s3
    upload = {**name, "UploadId": s3.create_multipart_upload(**name)["UploadId"]}
    part = s3.upload_part(**upload, PartNumber=1, Body=DAY)
    s3.complete_multipart_upload(
        **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    [load] = pipeline.next_loads()

    assert load["status"] == "SUCCEEDED"
