import json
from collections.abc import Callable
from typing import Any

import pytest
from start_loads import core
from start_loads.shown import shown

Invoke = Callable[[dict[str, Any]], dict[str, Any]]
Event = Callable[[str], dict[str, Any]]
Messages = Callable[..., dict[str, Any]]
Record = Callable[..., dict[str, Any]]
Logs = Callable[[], list[dict[str, Any]]]


def failures(answer: dict[str, Any]) -> list[str]:
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def measured(capsys: pytest.CaptureFixture[str]) -> dict[str, list[float]]:
    """The metrics of one invocation, as CloudWatch finds them in the log."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [found] = [line for line in lines if "_aws" in line]
    return {name: value for name, value in found.items() if name.startswith("Uploads")}


def test_plain_notification_starts_its_load(invoke: Invoke, states: Any, event: Event) -> None:
    answer = invoke(event("s3_notification"))

    assert answer == {
        "started": ["flights-51816e2edc45922d6f48020e"],
        "duplicates": [],
        "skipped": 0,
    }
    (load,) = states.loads()
    assert load["files"][0]["file_id"] == "ac4803910a3df8bb2cac65211e9319c8"


def test_line_of_a_load_leads_from_its_files_to_its_run(
    invoke: Invoke, states: Any, event: Event, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    invoke(event("s3_notification"))

    (load,) = states.loads()
    [line] = [line for line in log_lines() if line["message"] == "load started"]
    assert line["correlation_id"] == line["run_id"] == load["load_id"]
    assert line["files"] == [
        {name: load["files"][0][name] for name in ("file_id", "key", "version_id")}
    ]


def test_batch_of_two_datasets_starts_two_loads(invoke: Invoke, states: Any, event: Event) -> None:
    answer = invoke(event("sqs_three_files_two_datasets"))

    assert failures(answer) == []
    assert [(load["dataset"], len(load["files"])) for load in states.loads()] == [
        ("flights", 2),
        ("weather", 1),
    ]


def test_special_characters_reach_the_state_machine_decoded(
    invoke: Invoke, states: Any, event: Event
) -> None:
    invoke(event("sqs_special_characters"))

    (load,) = states.loads()
    assert load["files"][0]["key"] == "raw/flights/späti +1/_day 1 (2).csv"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("sqs_eventbridge", "raw/flights/late flights +1%20.csv"),
        ("sqs_sns", "raw/flights/2013-01-01.csv"),
    ],
)
def test_notification_by_another_way_starts_the_load_of_the_same_file(
    invoke: Invoke, states: Any, event: Event, record: Record, name: str, key: str
) -> None:
    assert failures(invoke(event(name))) == []

    (load,) = states.loads()
    (file,) = load["files"]
    (told_by_s3, *_) = core.read_notification(
        json.loads(event("sqs_three_files_two_datasets")["Records"][0]["body"])
    )[0]
    assert file["key"] == key
    for field in ("bucket", "version_id", "etag", "sequencer", "size", "uploaded_at"):
        assert file[field] == getattr(told_by_s3, field)


def test_uploads_that_go_astray_and_part_files_start_nothing_and_are_counted(
    invoke: Invoke, states: Any, event: Event, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failures(invoke(event("sqs_no_uploads"))) == []

    assert states.loads() == []
    assert measured(capsys) == {"UploadsAstray": [2], "UploadsIgnored": [1]}


def test_test_event_starts_nothing_and_says_why(
    invoke: Invoke, states: Any, event: Event, log_lines: Logs
) -> None:
    answer = invoke(event("sqs_test_event"))

    assert failures(answer) == []
    assert states.loads() == []
    (line,) = log_lines()
    assert "s3:TestEvent" in line["reason"]


def test_skipped_record_is_one_log_line_whatever_its_key(
    invoke: Invoke, states: Any, record: Record, log_lines: Logs
) -> None:
    key = 'other/x\n{"level":"ERROR","message":"forged"}\r\x1b[2J'

    answer = invoke({"Records": [record(key)]})

    assert answer == {"started": [], "duplicates": [], "skipped": 1}
    (line,) = log_lines()
    assert line["key"] == shown(key)
    assert line["key"].startswith("other/x%0A%7B%22level")
    assert line["bucket"] == "redshift-pipeline-raw-000000000000-us-east-1"
    assert line["reason"] == "the key is outside raw/<dataset>/"


def test_part_files_are_counted_and_nobody_hears(
    invoke: Invoke, states: Any, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["raw/flights/_temporary/0/a.csv", "raw/flights/_SUCCESS", "raw/flights/a.csv"]

    answer = invoke({"Records": [record(key) for key in keys]})

    assert (len(answer["started"]), answer["skipped"]) == (1, 2)
    assert measured(capsys) == {"UploadsIgnored": [2]}


def test_same_batch_again_is_a_duplicate(invoke: Invoke, states: Any, event: Event) -> None:
    started = invoke(event("s3_notification"))["started"][0]
    states.statuses[started] = "SUCCEEDED"

    answer = invoke(event("s3_notification"))

    assert answer == {"started": [], "duplicates": [started], "skipped": 0}
    assert list(states.statuses) == [started]


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED", "PENDING_REDRIVE"])
def test_name_taken_by_a_live_load_is_a_duplicate(
    invoke: Invoke, states: Any, messages: Messages, event: Event, status: str
) -> None:
    states.take_name("flights-51816e2edc45922d6f48020e", status)

    answer = invoke(messages(event("s3_notification")))

    assert failures(answer) == []
    assert list(states.statuses) == ["flights-51816e2edc45922d6f48020e"]


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_failed_load_is_started_again_under_the_next_name(
    invoke: Invoke, states: Any, event: Event, status: str
) -> None:
    load_id = "flights-51816e2edc45922d6f48020e"
    states.take_name(load_id, status)
    states.take_name(f"{load_id}-2", status)

    answer = invoke(event("s3_notification"))

    assert answer["started"] == [f"{load_id}-3"]
    assert json.loads(states.inputs[f"{load_id}-3"])["load_id"] == load_id


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED"])
def test_execution_that_somebody_else_gave_the_load_s_name_holds_nothing_up(
    invoke: Invoke, states: Any, event: Event, status: str
) -> None:
    load_id = "flights-51816e2edc45922d6f48020e"
    states.take_name(load_id, status, '{"status": "loaded"}', given='{"files": []}')

    answer = invoke(event("s3_notification"))

    assert answer["started"] == [f"{load_id}-2"]


def test_message_of_a_neighbour_is_a_dead_letter_with_its_reason(
    invoke: Invoke, queues: Any, states: Any, messages: Messages, record: Record
) -> None:
    stranger, later = record(), record(eventTime="9999-12-31T23:59:59.000Z")
    stranger["s3"]["bucket"]["name"] = "neighbour"

    answer = invoke(messages(*({"Records": [it]} for it in (stranger, later, record()))))

    assert failures(answer) == []
    assert [reason for _, reason in queues.dead_letters] == [
        '"neighbour is not the pipeline\'s bucket"',
        '"9999-12-31T23:59:59.000Z lies in the future"',
    ]
    assert len(states.loads()) == 1


@pytest.mark.parametrize("name", ["eTag", "versionId", "sequencer"])
def test_message_that_would_make_a_load_too_long_is_a_dead_letter_alone(
    invoke: Invoke, queues: Any, states: Any, messages: Messages, record: Record, name: str
) -> None:
    bombs = [{"Records": [record("raw/flights/b.csv", **{name: "x" * 300_000})]}]

    answer = invoke(messages({"Records": [record()]}, *bombs))

    assert failures(answer) == []
    assert len(queues.dead_letters) == len(bombs)
    assert [len(load["files"]) for load in states.loads()] == [1]


def test_load_whose_attempts_are_used_up_fails_its_message(
    invoke: Invoke, states: Any, messages: Messages, event: Event
) -> None:
    load_id = "flights-51816e2edc45922d6f48020e"
    for run_id in [load_id, *(f"{load_id}-{n}" for n in range(2, core.MAX_ATTEMPTS + 1))]:
        states.take_name(run_id, "FAILED")

    assert failures(invoke(messages(event("s3_notification")))) == ["m0"]


def test_load_that_cannot_be_started_fails_its_own_messages_only(
    invoke: Invoke, states: Any, messages: Messages, record: Record
) -> None:
    states.refused_names = ("weather-",)

    answer = invoke(
        messages(
            {"Records": [record("raw/weather/a.csv")]},
            {"Records": [record("raw/flights/a.csv")]},
            {"Records": [record("raw/weather/b.csv"), record("raw/flights/b.csv")]},
            {"Records": [record("raw/weather/a.csv")]},
        )
    )

    assert failures(answer) == ["m0", "m2", "m3"]
    assert [load["dataset"] for load in states.loads()] == ["flights"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("not JSON", id="text"),
        pytest.param("null", id="null"),
        pytest.param("[" * 100_000, id="brackets"),
        pytest.param("9" * 5_000, id="endless number"),
        pytest.param('{"Records": [{}]}', id="empty record"),
        pytest.param('{"detail-type": "Object Created", "detail": {}}', id="EventBridge"),
    ],
)
def test_unreadable_message_is_a_dead_letter_at_once_and_says_why(
    invoke: Invoke,
    states: Any,
    queues: Any,
    messages: Messages,
    event: Event,
    log_lines: Logs,
    body: str,
) -> None:
    answer = invoke(messages(body, event("s3_notification")))

    assert failures(answer) == []
    assert len(states.loads()) == 1
    line = next(line for line in log_lines() if line["message"] == "message not readable")
    assert line["message_id"] == "m0"
    assert queues.dead_letters == [(body, json.dumps(line["reason"]))]
    assert line["reason"]


def test_reason_of_a_dead_letter_can_be_sent_whatever_the_message_holds(
    invoke: Invoke, states: Any, queues: Any, messages: Messages
) -> None:
    body = {"loads": [{"dataset": "\ud83d\x00\uffff" * 400, "files": []}]}
    hostile = {"Records": [{"eventSource": "aws:s3", "eventName": "\x07\uffff" * 2_000, "s3": {}}]}

    assert failures(invoke(messages(body, hostile))) == []
    assert len(queues.dead_letters) == 2


def test_unreadable_message_that_cannot_be_set_aside_comes_again(
    invoke: Invoke, states: Any, queues: Any, messages: Messages, event: Event
) -> None:
    answer = invoke(messages("", event("s3_notification")))

    assert failures(answer) == ["m0"]
    assert len(states.loads()) == 1


def test_message_with_one_bad_record_loads_nothing_of_it(
    invoke: Invoke, states: Any, queues: Any, messages: Messages, record: Record
) -> None:
    invoke(messages({"Records": [record(), record(eventTime="never")]}))

    assert len(queues.dead_letters) == 1
    assert states.loads() == []


@pytest.mark.parametrize("plain", [{}, {"Records": []}, {"Records": [{"eventSource": "x"}]}])
def test_malformed_plain_event_is_raised(
    invoke: Invoke, states: Any, plain: dict[str, Any]
) -> None:
    with pytest.raises(core.MalformedEventError):
        invoke(plain)


def test_plain_event_raises_what_step_functions_raises(
    invoke: Invoke, states: Any, event: Event
) -> None:
    states.refused_names = ("flights-",)

    with pytest.raises(Exception, match="ThrottlingException"):
        invoke(event("s3_notification"))


def test_burst_of_ten_thousand_files_becomes_a_hundred_loads(
    invoke: Invoke, states: Any, messages: Messages, record: Record
) -> None:
    template = json.dumps({"Records": [record("raw/flights/NUMBER.csv")]})

    answer = invoke(messages(*(template.replace("NUMBER", str(n)) for n in range(10_000))))

    assert failures(answer) == []
    assert [len(load["files"]) for load in states.loads()] == [100] * 100


def test_given_loads_are_started_each_by_itself(invoke: Invoke, states: Any, event: Event) -> None:
    assert invoke(event("sqs_loads")) == {"batchItemFailures": []}

    assert [[file["key"] for file in load["files"]] for load in states.loads()] == [
        ["raw/flights/flights_2013-01-01.csv"],
        ["raw/flights/flights_2013-01-02.csv"],
    ]
    assert list(states.inputs) == [load["load_id"] for load in states.loads()]


def test_given_load_that_was_split_before_is_started_again(
    invoke: Invoke, states: Any, event: Event
) -> None:
    invoke(event("sqs_loads"))
    first, second = list(states.inputs)
    states.take_name(first, "SUCCEEDED", '{"status": "split"}')
    states.take_name(second, "SUCCEEDED", '{"status": "loaded"}')

    invoke(event("sqs_loads"))

    assert list(states.inputs) == [first, second, f"{first}-2"]


def test_given_load_that_cannot_be_started_fails_its_message(
    invoke: Invoke, states: Any, event: Event
) -> None:
    states.refused_names = ("flights-",)

    message = event("sqs_loads")["Records"][0]["messageId"]
    assert invoke(event("sqs_loads")) == {"batchItemFailures": [{"itemIdentifier": message}]}


def test_files_over_the_limits_share_no_load(
    invoke: Invoke, states: Any, messages: Callable[..., dict[str, Any]], record: Callable[..., Any]
) -> None:
    gibibyte = 1024**3
    records = [
        *[record(f"raw/flights/{n}.csv", size=gibibyte) for n in range(11)],
        record("raw/flights/large.csv", size=gibibyte + 1),
    ]

    invoke(messages({"Records": records}))

    assert sorted(len(load["files"]) for load in states.loads()) == [1, 1, 10]
