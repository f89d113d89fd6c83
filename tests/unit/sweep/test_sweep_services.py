"""The edge, over the laptop's S3, SQS and Glue, and Step Functions by its documented rules:
one thing that is odd keeps the sweeper from no other."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from start_loads.core import Load, read_loads
from sweep.place import Place, after

from tests.unit.sweep.conftest import Account, FakeStates

Sweep = Callable[..., dict[str, Any]]
LoadOf = Callable[..., Load]
Logs = Callable[[], list[dict[str, Any]]]


def minutes_ago(minutes: int) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def test_every_version_is_found_page_by_page_and_no_delete_marker(
    account: Account, sweep: Sweep
) -> None:
    account.show_pages_of(3)
    files = [account.upload(f"raw/flights/{n} +%ä.csv") for n in range(4)]
    files += [account.upload(body=bytes([n])) for n in range(4)]
    account.client("s3").delete_object(Bucket=account.bucket, Key=files[-1].key)

    assert sweep()["requeued_files"] == 8
    found = account.requeued_files()
    assert sorted(file.file_id for file in found) == sorted(file.file_id for file in files)


def test_listing_goes_on_from_its_place_over_odd_keys_and_their_versions(
    account: Account, sweep: Sweep
) -> None:
    files = [account.upload(f"raw/flights/{n} +%ä.csv") for n in range(3)]
    files += [account.upload(files[1].key, bytes([n])) for n in range(3)]
    client = account.client("s3")
    versions = client.list_object_versions(Bucket=account.bucket, Prefix="raw/", MaxKeys=2)
    place = Place(client, account.bucket)
    place.write(after(versions))
    before = {version["VersionId"] for version in versions["Versions"]}

    sweep()
    found = {file.version_id for file in account.requeued_files()}

    assert found == {file.version_id for file in files} - before
    assert place.read() == {}


def test_executions_are_seen_although_one_that_began_before_the_files_ended_since(
    account: Account, states: FakeStates, sweep: Sweep, load_of: LoadOf, upload: Any
) -> None:
    file, running = account.upload("raw/flights/a.csv"), account.upload("raw/flights/b.csv")
    account.make_older(file, minutes=40)
    account.make_older(running, minutes=40)
    for n in range(states.page_size):
        long_run = load_of(upload(f"raw/flights/other-{n}.csv"))
        states.add(
            long_run.load_id,
            "SUCCEEDED",
            long_run.to_input(),
            started_at=minutes_ago(90),
            ended_at=minutes_ago(1),
        )
    account.run(load_of(running), "RUNNING", minutes_ago=20)
    account.run(load_of(file), "FAILED", "OperatorError", minutes_ago=35)

    answer = sweep()

    assert (answer["held"], answer["requeued_files"]) == (2, 0)


def test_executions_are_looked_at_no_further_back_than_the_oldest_file(
    account: Account, states: FakeStates, sweep: Sweep, load_of: LoadOf, upload: Any
) -> None:
    account.upload()
    for n in range(10):
        load = load_of(upload(f"raw/flights/{n}.csv"))
        account.run(load, "FAILED", "TransientError", minutes_ago=20 + n)

    sweep()

    assert states.described() == []
    assert [action for action, _ in states.calls] == ["ListExecutions"]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param("[" * 100_000, id="brackets"),
        pytest.param('"x"', id="text"),
        pytest.param('{"files": ["x"]}', id="file that is a text"),
        pytest.param('{"files": [{}]}', id="file without a name"),
        pytest.param('{"files": null}', id="null"),
        pytest.param('{"files": 7}', id="number"),
    ],
)
def test_execution_of_something_else_decides_nothing(
    account: Account, states: FakeStates, sweep: Sweep, document: str
) -> None:
    account.upload()
    states.add("by-hand", "FAILED", document, ended_at=minutes_ago(1), error="OperatorError")

    assert sweep()["requeued_files"] == 1


def test_execution_that_start_loads_would_refuse_is_not_sent_again(
    account: Account, states: FakeStates, sweep: Sweep
) -> None:
    file = account.upload()
    document = {"dataset": "weather", "files": [{"file_id": file.file_id, "key": file.key}]}
    states.add("by-hand", "ABORTED", json.dumps(document), ended_at=minutes_ago(1))

    answer = sweep()

    assert (answer["requeued_files"], answer["requeued_loads"]) == (1, 0)


def test_execution_that_step_functions_forgot_meanwhile_decides_nothing(
    account: Account, states: FakeStates, sweep: Sweep, load_of: LoadOf
) -> None:
    account.run(load_of(account.upload()), "ABORTED", minutes_ago=1)
    states._DescribeExecution = lambda executionArn: (
        400,
        {"__type": "ExecutionDoesNotExist"},
    )

    assert sweep()["requeued_files"] == 1


def test_load_is_sent_again_whole(account: Account, sweep: Sweep, load_of: LoadOf) -> None:
    load = load_of(account.upload("raw/flights/a.csv"), account.upload("raw/flights/b.csv"))
    account.run(load, "TIMED_OUT", minutes_ago=1)

    assert sweep()["requeued_loads"] == 1
    [message] = account.messages()
    assert read_loads(message) == [load]


def test_run_whose_name_is_no_execution_s_goes_by_its_own_age(
    account: Account, sweep: Sweep
) -> None:
    account.upload()
    account.stage("no name of an execution")
    account.register("no name of an execution")

    answer = sweep()

    assert (answer["partitions_dropped"], answer["objects_dropped"]) == (1, 1)
    assert answer["requeued_files"] == 1


def test_partitions_of_a_table_that_is_no_dataset_s_stay(account: Account, sweep: Sweep) -> None:
    account.make_table("calendar", partition_key="year")
    account.register("2013", "calendar")

    assert sweep()["partitions_dropped"] == 0
    assert account.partitions("calendar") == ["2013"]


def test_partition_that_another_sweep_has_dropped_meanwhile_is_passed_over(
    account: Account, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.register("gone")
    account.register("there")
    glue = account.client("glue")
    delete = glue.delete_partition

    def delete_partition(**request: Any) -> Any:
        if request["PartitionValues"] == ["gone"]:
            # MiniStack has no such error here.
            raise glue.exceptions.EntityNotFoundException(
                {"Error": {"Code": "EntityNotFoundException"}}, "DeletePartition"
            )
        return delete(**request)

    monkeypatch.setattr(glue, "delete_partition", delete_partition)

    assert sweep()["partitions_dropped"] == 1


def test_object_that_could_not_be_dropped_is_told_and_not_counted(
    account: Account, sweep: Sweep, log_lines: Logs
) -> None:
    kept = account.stage("kept")
    account.stage("dropped")

    def refuse(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Errors"] = [{"Key": kept, "Code": "AccessDenied", "Message": "as asked"}]

    account.client("s3").meta.events.register("after-call.s3.DeleteObjects", refuse)

    assert sweep()["objects_dropped"] == 1
    [line] = [line for line in log_lines() if line["level"] == "ERROR"]
    assert (line["key"], line["reason"]) == (kept, "AccessDenied")


def test_waiting_files_do_not_depend_on_the_catalog(account: Account, sweep: Sweep) -> None:
    account.upload()

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetTables")

    account.client("glue").meta.events.register("before-call.glue.GetTables", refuse)

    with pytest.raises(ClientError, match="AccessDeniedException"):
        sweep()
    assert len(account.requeued_files()) == 1


@pytest.mark.parametrize("override", ["waiting_minute", "Leftover_minutes"])
def test_misspelt_override_is_refused(account: Account, sweep: Sweep, override: str) -> None:
    with pytest.raises(ValueError, match=override):
        sweep(**{override: 0})
