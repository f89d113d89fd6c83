"""Nothing is granted that no call uses, and no call is made that is not granted.

One stack lives through all that can happen to it; docs/security.md says who used what.
"""

import json
from collections import defaultdict
from collections.abc import Iterator

import pytest

from local.grants import Grant
from local.sdk_tasks import TaskCall
from tests.deployed_pipeline import WEEK, Pipeline
from tests.operating import messages_in, received, wait_until
from tests.security.grants import deployed_grants, logical_ids, unused
from tests.security.page import PATH, WRITTEN, read_callers, written

pytestmark = pytest.mark.long

DAY = WEEK[0].read_bytes()
BAD = b"no\nheader\n"
Uses = dict[Grant, frozenset[str]]


@pytest.fixture(scope="module")
def lived(deployed: Pipeline) -> Iterator[Pipeline]:
    """The deployed stack after a life in which every permission was wanted."""
    load_tagged_file(deployed)
    load_file_without_a_version(deployed)
    refuse_file_twice(deployed)
    split_batch(deployed)
    refuse_file_that_is_gone(deployed)
    set_message_aside(deployed)
    fail_twice_for_one_cause(deployed)
    interrupt_load_and_sweep(deployed)
    rotate_secrets(deployed)
    yield deployed
    deployed.empty()


@pytest.fixture(scope="module")
def uses(lived: Pipeline) -> Uses:
    return lived.stack.cloud.access.uses()


def load_tagged_file(pipeline: Pipeline) -> None:
    bucket = pipeline.stack.outputs["RawBucketName"]
    pipeline.stack.s3.put_object(
        Bucket=bucket, Key="raw/flights/tagged.csv", Body=DAY, Tagging="owner=airport"
    )
    assert pipeline.next_loads()[0]["status"] == "SUCCEEDED"


def load_file_without_a_version(pipeline: Pipeline) -> None:
    """As files are while somebody has suspended versioning."""
    bucket = pipeline.stack.outputs["RawBucketName"]
    versioning = pipeline.stack.s3.put_bucket_versioning
    versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    pipeline.stack.s3.put_object(
        Bucket=bucket, Key="raw/flights/plain.csv", Body=WEEK[1].read_bytes(), Tagging="a=b"
    )
    [execution] = pipeline.next_loads()
    versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert execution["status"] == "SUCCEEDED"
    assert json.loads(execution["input"])["files"][0]["version_id"] == ""


def refuse_file_twice(pipeline: Pipeline) -> None:
    pipeline.stack.s3.put_object(
        Bucket=pipeline.stack.outputs["RawBucketName"],
        Key="raw/flights/bad.csv",
        Body=BAD,
        Tagging="owner=airport",
    )
    [refused] = pipeline.next_loads()
    assert refused["error"] == "DataError"
    pipeline.run_again(refused)
    assert pipeline.next_loads()[0]["status"] == "SUCCEEDED"


def split_batch(pipeline: Pipeline) -> None:
    pipeline.pause()
    pipeline.upload("raw/flights/bad too.csv", BAD)
    pipeline.upload("raw/flights/good.csv", WEEK[2])
    pipeline.resume()
    assert "DataError" in [execution.get("error") for execution in pipeline.all_loads()]


def refuse_file_that_is_gone(pipeline: Pipeline) -> None:
    """Its notification comes after somebody has destroyed its version."""
    pipeline.pause()
    version = pipeline.upload("raw/flights/gone.csv", DAY)
    pipeline.stack.s3.delete_object(
        Bucket=pipeline.stack.outputs["RawBucketName"],
        Key="raw/flights/gone.csv",
        VersionId=version,
    )
    pipeline.resume()
    assert pipeline.next_loads()[0]["status"] == "FAILED"


def set_message_aside(pipeline: Pipeline) -> None:
    outputs = pipeline.stack.outputs
    pipeline.stack.sqs.send_message(QueueUrl=outputs["IngestQueueUrl"], MessageBody="no JSON")
    wait_until(lambda: messages_in(pipeline.stack, "IngestDeadLetterQueueUrl") == 1)
    assert list(received(pipeline.stack.sqs, outputs["IngestDeadLetterQueueUrl"])) == ["no JSON"]


def fail_twice_for_one_cause(pipeline: Pipeline) -> None:
    """The second load finds that support was told."""
    for number in (1, 2):
        pipeline.upload(f"raw/unheard_of/{number}.csv", DAY)
        assert pipeline.next_loads()[0]["error"] == "OperatorError"


def interrupt_load_and_sweep(pipeline: Pipeline) -> None:
    """The machine for abandoned loads, interrupted too, cancels the statement in the end."""
    machine = pipeline.stack.outputs["AbandonedLoadStateMachineArn"]
    states = pipeline.stack.step_functions
    cut_short: list[str] = []

    def interrupt(call: TaskCall) -> None:
        if call.execution.split(":")[6] == machine.split(":")[6] and not cut_short:
            cut_short.append(call.execution)
            states.stop_execution(executionArn=call.execution)

    with pipeline.connect() as connection:
        connection.execute("lock table etl.flights_lock")
        pipeline.upload("raw/flights/again.csv", WEEK[3])
        wait_until(pipeline.loads_held_up)
        [running] = [e for e in pipeline.stack.executions() if e["status"] == "RUNNING"]
        pipeline.mails("Support")
        pipeline.stack.cloud.before_call.append(interrupt)
        states.stop_execution(executionArn=running["executionArn"])
        pipeline.next_mail("Support")
        pipeline.stack.cloud.before_call.remove(interrupt)
    pipeline.next_loads()
    archive = pipeline.stack.outputs["ArchiveBucketName"]
    place = json.dumps({"KeyMarker": "raw/", "VersionIdMarker": ""})
    pipeline.stack.s3.put_object(Bucket=archive, Key="sweep/place.json", Body=place)
    outcome = pipeline.sweep()
    assert outcome["requeued_loads"] == 1
    assert outcome["partitions_dropped"] > 0
    assert pipeline.next_loads()[0]["status"] == "SUCCEEDED"
    assert pipeline.sweep()["requeued_files"] == 0


def rotate_secrets(pipeline: Pipeline) -> None:
    for secret in ("LoaderSecretArn", "AdminSecretArn"):
        pipeline.rotate(secret)


def test_each_grant_is_used_by_some_call(lived: Pipeline, uses: Uses) -> None:
    idle = [
        f"{grant.role} {grant.sid}: {grant.action} on {grant.resource} {grant.via}"
        for grant in deployed_grants(lived.stack)
        if grant not in uses and not any(e.covers(grant.sid, grant.action) for e in unused())
    ]

    assert not idle, "\n".join(idle)


@pytest.mark.parametrize("exception", unused(), ids=lambda exception: exception.sid)
def test_exception_is_still_needed(lived: Pipeline, uses: Uses, exception: object) -> None:
    covered = [g for g in deployed_grants(lived.stack) if exception.covers(g.sid, g.action)]

    assert {grant.action for grant in covered if grant not in uses} == set(exception.actions)


def test_page_tells_who_uses_what(lived: Pipeline, uses: Uses) -> None:
    logical = logical_ids(lived.stack)
    callers: defaultdict[tuple[str, str, str], frozenset[str]] = defaultdict(frozenset)
    for grant, names in uses.items():
        if grant.role in logical:
            shown = frozenset(logical.get(name, name) for name in names)
            callers[logical[grant.role], grant.sid, grant.action] |= shown
    document = PATH.read_text()
    WRITTEN.parent.mkdir(exist_ok=True)
    WRITTEN.write_text(written(document, callers))

    told = read_callers(document)
    assert {key: names - callers[key] for key, names in told.items() if names - callers[key]} == {}
