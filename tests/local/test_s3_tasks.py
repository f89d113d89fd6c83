"""S3, SQS and Step Functions as the state machines use them, through their tasks."""

import json
import time
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from local.cloud import LaptopCloud
from tests.local.test_plugs import run_task

Task = Callable[..., dict[str, Any]]

BUCKET = "s3-tasks"
READ = [
    *("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"),
    *("s3:ListBucket", "s3:ListBucketVersions"),
]
MISSING = "3HL4kqtJvjVBH40Nrjfkd"


@pytest.fixture(scope="module")
def s3(cloud: LaptopCloud) -> Any:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return s3


@pytest.fixture
def task(cloud: LaptopCloud, s3: Any) -> Task:
    """Runs one task with a role that may do `actions`; returns the execution."""

    def run(action: str, arguments: Any, actions: list[str]) -> dict[str, Any]:
        resource = f"arn:aws:states:::aws-sdk:{action}"
        name = f"s3-{time.monotonic_ns()}"
        return run_task(cloud.client, name, {"Resource": resource, "Arguments": arguments}, actions)

    return run


def put(s3: Any, key: str, body: bytes = b"text") -> dict[str, str]:
    answer = s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    return {"version": answer["VersionId"], "etag": answer["ETag"]}


def delete(*objects: dict[str, str], quiet: bool = True) -> dict[str, Any]:
    return {"Bucket": BUCKET, "Delete": {"Quiet": quiet, "Objects": list(objects)}}


def listed(s3: Any, prefix: str, **arguments: Any) -> list[tuple[str, str]]:
    """Keys and versions under a prefix, delete markers among them."""
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=BUCKET, Prefix=prefix, **arguments
    )
    return [
        (version["Key"], version["VersionId"])
        for page in pages
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    ]


def outcome(execution: dict[str, Any]) -> Any:
    assert execution["status"] == "SUCCEEDED", execution
    return json.loads(execution["output"])


@pytest.mark.parametrize("way", ["deleted for good", "of another key", "malformed"])
def test_copy_of_a_version_that_is_gone_is_a_404(task: Task, s3: Any, way: str) -> None:
    made = put(s3, "gone/ä +1.csv")
    if way == "deleted for good":
        s3.delete_object(Bucket=BUCKET, Key="gone/ä +1.csv", VersionId=made["version"])
    version = made["version"] if way == "deleted for good" else MISSING
    source = f"{BUCKET}/gone/%C3%A4%20%2B1.csv?versionId={version}"
    if way == "of another key":
        source = f"{BUCKET}/gone/never.csv?versionId={made['version']}"

    execution = task(
        "s3:copyObject",
        {"Bucket": BUCKET, "Key": "copy", "CopySource": source, "CopySourceIfMatch": made["etag"]},
        READ,
    )

    assert execution["error"] in ("S3.S3Exception", "S3.NoSuchKeyException")
    assert "Status Code: 404" in execution["cause"]


def test_missing_version_is_forbidden_to_a_role_that_may_not_list_versions(
    task: Task, s3: Any
) -> None:
    made = put(s3, "unlisted.csv")
    s3.delete_object(Bucket=BUCKET, Key="unlisted.csv", VersionId=made["version"])
    source = f"{BUCKET}/unlisted.csv?versionId={made['version']}"

    execution = task(
        "s3:copyObject",
        {"Bucket": BUCKET, "Key": "copy", "CopySource": source},
        [action for action in READ if action != "s3:ListBucketVersions"],
    )

    assert "Status Code: 403" in execution["cause"]


def test_copy_whose_source_has_another_etag_is_a_412(task: Task, s3: Any) -> None:
    made = put(s3, "etag.csv")
    source = f"{BUCKET}/etag.csv?versionId={made['version']}"

    execution = task(
        "s3:copyObject",
        {"Bucket": BUCKET, "Key": "copy", "CopySource": source, "CopySourceIfMatch": "other"},
        READ,
    )

    assert execution["error"] == "S3.S3Exception"
    assert "Status Code: 412" in execution["cause"]


def test_version_is_deleted_for_good_and_a_second_time_without_complaint(
    task: Task, s3: Any
) -> None:
    first, second = put(s3, "versions/a", b"1"), put(s3, "versions/a", b"2")
    objects = delete({"Key": "versions/a", "VersionId": first["version"]})

    for _ in range(2):
        answer = outcome(task("s3:deleteObjects", objects, ["s3:DeleteObjectVersion"]))
        assert not answer.get("Errors")
        assert listed(s3, "versions/") == [("versions/a", second["version"])]


def test_conditional_delete_reports_another_object_in_errors(task: Task, s3: Any) -> None:
    earlier, later = put(s3, "conditional/a", b"1"), put(s3, "conditional/a", b"2")

    def answer(etag: str) -> Any:
        arguments = delete({"Key": "conditional/a", "ETag": etag})
        return outcome(task("s3:deleteObjects", arguments, ["s3:DeleteObject"]))

    assert answer(earlier["etag"])["Errors"][0]["Code"] == "PreconditionFailed"
    assert not answer(later["etag"]).get("Errors")
    assert answer(later["etag"])["Errors"][0]["Code"] == "NoSuchKey"


@pytest.mark.parametrize("objects", [1, 2])
def test_object_that_may_not_be_deleted_is_reported_in_errors(
    task: Task, s3: Any, objects: int
) -> None:
    versions = [put(s3, f"denied/{number}")["version"] for number in range(objects)]
    arguments = delete(
        *({"Key": f"denied/{n}", "VersionId": version} for n, version in enumerate(versions))
    )

    # The action for objects without a version is not enough.
    answer = outcome(task("s3:deleteObjects", arguments, ["s3:DeleteObject"]))

    assert [(error["Key"], error["Code"]) for error in answer["Errors"]] == [
        (f"denied/{number}", "AccessDenied") for number in range(objects)
    ]
    assert len(listed(s3, "denied/")) >= objects
    outcome(task("s3:deleteObjects", arguments, ["s3:DeleteObjectVersion"]))
    assert listed(s3, "denied/") == []


@pytest.mark.parametrize("body", ['{"a": "ä"}', {"a": "ä"}])
def test_body_is_text_or_becomes_json(task: Task, s3: Any, body: Any) -> None:
    arguments = {"Bucket": BUCKET, "Key": "reason.json", "Body": body}

    outcome(task("s3:putObject", arguments, ["s3:PutObject"]))

    stored = s3.get_object(Bucket=BUCKET, Key="reason.json")["Body"].read()
    assert json.loads(stored) == {"a": "ä"}


@pytest.mark.parametrize(
    ("actions", "status"), [(["s3:GetObject", "s3:ListBucket"], 404), (["s3:GetObject"], 403)]
)
def test_head_of_a_missing_key(task: Task, actions: list[str], status: int) -> None:
    execution = task("s3:headObject", {"Bucket": BUCKET, "Key": "never"}, actions)

    assert execution["error"] == ("S3.NoSuchKeyException" if status == 404 else "S3.S3Exception")
    assert f"Status Code: {status}" in execution["cause"]


def test_versions_are_listed_in_order_page_by_page(s3: Any) -> None:
    keys = ["list/a", "list/a/b", "list/a b", "list/ä", "list/z"]
    versions = {key: [put(s3, key)["version"] for _ in range(3)] for key in reversed(keys)}
    expected = [(k, v) for k in sorted(keys, key=str.encode) for v in reversed(versions[k])]

    assert listed(s3, "list/") == expected
    for page_size in (1, 2, 4):
        assert listed(s3, "list/", PaginationConfig={"PageSize": page_size}) == expected


def test_deleted_key_is_listed_with_its_marker_and_all_versions(s3: Any) -> None:
    made = put(s3, "marked/a")
    marker = s3.delete_object(Bucket=BUCKET, Key="marked/a")["VersionId"]

    assert sorted(listed(s3, "marked/", PaginationConfig={"PageSize": 1})) == sorted(
        [("marked/a", marker), ("marked/a", made["version"])]
    )


def test_listing_versions_needs_its_own_permission(task: Task) -> None:
    arguments = {"Bucket": BUCKET, "Prefix": "list/"}

    denied = task("s3:listObjectVersions", arguments, ["s3:ListBucket"])

    assert "Status Code: 403" in denied["cause"]
    outcome(task("s3:listObjectVersions", arguments, ["s3:ListBucketVersions"]))


def test_message_is_sent_by_a_task(cloud: LaptopCloud, task: Task) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName="task-messages")["QueueUrl"]
    arguments = {"QueueUrl": url, "MessageBody": '{"loads": []}'}

    outcome(task("sqs:sendMessage", arguments, ["sqs:SendMessage"]))

    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == '{"loads": []}'
    assert "403" in task("sqs:sendMessage", arguments, [])["cause"]


def test_history_and_description_of_an_execution_are_read_by_a_task(
    cloud: LaptopCloud, task: Task
) -> None:
    earlier = task("sts:getCallerIdentity", {}, ["sts:GetCallerIdentity"])
    arn = {"ExecutionArn": earlier["executionArn"]}

    history = outcome(task("sfn:getExecutionHistory", arn, ["states:GetExecutionHistory"]))
    described = outcome(task("sfn:describeExecution", arn, ["states:DescribeExecution"]))

    assert history["Events"][0]["Type"] == "ExecutionStarted"
    assert described["Status"] == "SUCCEEDED"


@pytest.mark.parametrize(("size", "status"), [(250, "SUCCEEDED"), (257, "FAILED")])
def test_result_over_256_kib_fails_the_task(task: Task, s3: Any, size: int, status: str) -> None:
    put(s3, "large.txt", size * 1024 * b"a")

    execution = task("s3:getObject", {"Bucket": BUCKET, "Key": "large.txt"}, READ)

    assert execution["status"] == status
    assert execution.get("error", "") in ("", "States.DataLimitExceeded")


def test_listing_statements_needs_its_permission(task: Task) -> None:
    denied = task("redshiftdata:listStatements", {"StatementName": "a"}, ["glue:*"])

    assert "not authorized to perform: redshift-data:ListStatements" in denied["cause"]
    outcome(task("redshiftdata:listStatements", {}, ["redshift-data:ListStatements"]))


def test_object_in_glacier_is_not_copied(s3: Any, task: Task) -> None:
    # S3 API reference, CopyObject: "403 ObjectNotInActiveTierError", and InvalidObjectState.
    s3.put_object(Bucket=BUCKET, Key="cold", Body=b"text", StorageClass="GLACIER")

    execution = task(
        "s3:copyObject",
        {"Bucket": BUCKET, "Key": "copied", "CopySource": f"{BUCKET}%2Fcold"},
        READ,
    )

    assert execution["status"] == "FAILED"
    assert "not valid for the object's storage class" in execution["cause"]


def test_copy_tells_the_checksum_of_the_whole_object_if_asked(s3: Any, task: Task) -> None:
    put(s3, "whole", b"a" * 100)
    copying = {"Bucket": BUCKET, "Key": "copied", "CopySource": f"{BUCKET}/whole"}

    plain = outcome(task("s3:copyObject", copying, READ))
    asked = outcome(task("s3:copyObject", {**copying, "ChecksumAlgorithm": "SHA256"}, READ))

    assert "ChecksumSHA256" not in plain["CopyObjectResult"]
    checksum = b64encode(sha256(b"a" * 100).digest()).decode()
    assert asked["CopyObjectResult"]["ChecksumSHA256"] == checksum


def test_object_that_is_there_is_not_written_again(s3: Any, task: Task) -> None:
    once = {"Bucket": BUCKET, "Key": "once", "IfNoneMatch": "*", "Body": "text"}
    first, second = (task("s3:putObject", once, READ) for _ in range(2))

    assert first["status"] == "SUCCEEDED"
    assert (second["status"], second["error"]) == ("FAILED", "S3.S3Exception")
    assert "Status Code: 412" in second["cause"]
