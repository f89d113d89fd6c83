"""What watches over the pipeline, and what it is guarded by."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tools.probes import asks_aws
from tools.verification.bench import Bench
from tools.verification.finding import Finding, UnansweredError, finding

EVENT_TRIES = 4
EVENT_SECONDS = 15
ALARM_SECONDS = 60
POLL_SECONDS = 1
FIELDS = {"executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate", "input"}
TEST_EVENT = Path(__file__).parents[2] / "events" / "start_loads" / "sqs_test_event.json"


@asks_aws
def tells_of_ended_execution(bench: Bench) -> Finding:
    """A rule and a queue of the probe's own hear of an execution that fails."""
    detail = _event_of_failure(bench)
    lacking = FIELDS - detail.keys()
    return finding(
        detail.get("status") == "FAILED" and not lacking,
        f"it lacks {', '.join(sorted(lacking)) or 'nothing'}; input {detail.get('input')}",
    )


@asks_aws
def says_why_execution_ended(bench: Bench) -> Finding:
    detail = _event_of_failure(bench)
    why = {name: detail.get(name) for name in ("status", "error", "cause")}
    holds = why == {"status": "FAILED", "error": "OnPurpose", "cause": "a test"}
    return finding(holds, json.dumps(why))


def _event_of_failure(bench: Bench) -> dict[str, Any]:
    """What EventBridge tells of an execution that fails. Raises UnansweredError, SpentError, and
    botocore's errors."""
    if "event" not in bench.outcomes:
        bench.outcomes["event"] = _heard(bench)
    return dict(bench.outcomes["event"])


def _heard(bench: Bench) -> dict[str, Any]:
    queue = _queue_for_events(bench)
    definition = {
        "StartAt": "Fails",
        "States": {"Fails": {"Type": "Fail", "Error": "OnPurpose", "Cause": "a test"}},
    }
    machine = bench.machine.create(definition, "-fails")
    _rule_for(bench, machine, queue)
    # A rule that was made a moment ago may not see the first of them.
    for _ in range(EVENT_TRIES):
        bench.machine.start(machine, {"a": 1}, 1)
        if event := _next_event(bench, queue):
            return dict(event["detail"])
    raise UnansweredError(f"no event came within {EVENT_TRIES * EVENT_SECONDS} s")


def _queue_for_events(bench: Bench) -> str:
    client, name = bench.client("sqs"), bench.machine.full_name
    bench.traces.will_make(
        f"queue {name}",
        lambda: client.delete_queue(QueueUrl=client.get_queue_url(QueueName=name)["QueueUrl"]),
        f"aws sqs delete-queue --queue-url $(aws sqs get-queue-url --queue-name {name} "
        "--query QueueUrl --output text)",
    )
    return str(client.create_queue(QueueName=name)["QueueUrl"])


def _rule_for(bench: Bench, machine: str, queue: str) -> None:
    events, sqs, name = bench.client("events"), bench.client("sqs"), bench.machine.full_name

    def remove() -> None:
        events.remove_targets(Rule=name, Ids=["queue"])
        events.delete_rule(Name=name)

    bench.traces.will_make(
        f"rule {name}",
        remove,
        f"aws events remove-targets --rule {name} --ids queue; "
        f"aws events delete-rule --name {name}",
    )
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [machine], "status": ["FAILED"]},
    }
    rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    arn = attributes["Attributes"]["QueueArn"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
            }
        ],
    }
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])


def _next_event(bench: Bench, queue: str) -> dict[str, Any] | None:
    deadline = time.monotonic() + EVENT_SECONDS
    while time.monotonic() < deadline:
        answer = bench.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            return dict(json.loads(message["Body"]))
    return None


@asks_aws
def names_tripped_alarms(bench: Bench) -> Finding:
    """Two alarms of the probe's own, without actions: nobody gets a mail."""
    client, name = bench.client("cloudwatch"), bench.machine.full_name
    part, whole = f"{name}-part", f"{name}-whole"
    # The composite one first: CloudWatch keeps an alarm that another one names.
    bench.traces.will_make(
        f"alarms {whole}, {part}",
        lambda: [client.delete_alarms(AlarmNames=[alarm]) for alarm in (whole, part)],
        f"aws cloudwatch delete-alarms --alarm-names {whole}; "
        f"aws cloudwatch delete-alarms --alarm-names {part}",
    )
    client.put_metric_alarm(
        AlarmName=part,
        ActionsEnabled=False,
        Namespace=bench.deployed.name,
        MetricName="NeverMeasured",
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="ignore",
    )
    client.put_composite_alarm(AlarmName=whole, ActionsEnabled=False, AlarmRule=f"ALARM({part})")
    client.set_alarm_state(AlarmName=part, StateValue="ALARM", StateReason="a test")
    reason = _reason_of(client, whole)
    return finding(part in reason, reason)


def _reason_of(client: Any, alarm: str) -> str:
    deadline = time.monotonic() + ALARM_SECONDS
    while time.monotonic() < deadline:
        answer = client.describe_alarms(AlarmNames=[alarm], AlarmTypes=["CompositeAlarm"])
        for found in answer["CompositeAlarms"]:
            if found["StateValue"] == "ALARM":
                return f"{found['StateReason']} {found.get('StateReasonData', '')}"
        time.sleep(POLL_SECONDS)
    raise UnansweredError(f"the composite alarm did not trip within {ALARM_SECONDS} s")


@asks_aws
def counts_compute_seconds(bench: Bench) -> Finding:
    """What the workgroup cost in the last day, by the metric of the dashboard."""
    if bench.deployed.parameters.get("ClusterArn"):
        raise UnansweredError("the warehouse is a cluster")
    workgroup = bench.deployed.outputs["WorkgroupName"]
    now = datetime.now(UTC)
    points = bench.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Redshift-Serverless",
        MetricName="ComputeSeconds",
        Dimensions=[{"Name": "Workgroup", "Value": workgroup}],
        StartTime=now - timedelta(days=1),
        EndTime=now,
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    if not points:
        raise UnansweredError("the metric has no figures yet: they come minutes later")
    total = sum(point["Sum"] for point in points)
    return finding(total > 0, f"{total:,.0f} in {len(points)} hours of the last day")


@asks_aws
def names_secrets_after_the_stack(bench: Bench) -> Finding:
    answer = bench.client("secretsmanager").describe_secret(
        SecretId=bench.deployed.outputs["LoaderSecretArn"]
    )
    name = answer["Name"]
    holds = name == f"{bench.deployed.name}/loader"
    return finding(holds, f"it is called {name}")


@asks_aws
def runs_functions_in_their_roles(bench: Bench) -> Finding:
    """A function starts, and passes over the message with which S3 tries a queue out."""
    answer = bench.client("lambda").invoke(
        FunctionName=bench.deployed.outputs["StartLoadsFunctionName"],
        Payload=TEST_EVENT.read_bytes(),
    )
    error = answer.get("FunctionError", "")
    text = answer["Payload"].read().decode()[:200]
    told = f"{error}: {text}" if error else "a function ran"
    return finding(not error, f"{told}; a rule was not asked: it would start the second machine")


@asks_aws
def writes_with_the_key(bench: Bench) -> Finding:
    """Whether what the load machine's role wrote is encrypted as the bucket says."""
    bucket = bench.deployed.outputs["ArchiveBucketName"]
    key = f"quarantine/{bench.name}/body.json"
    client = bench.client("s3")
    try:
        found = client.head_object(Bucket=bucket, Key=key)
    except client.exceptions.ClientError as error:
        raise UnansweredError(f"nothing was written: {error}") from error
    how = found.get("ServerSideEncryption", "none")
    is_with_key = bench.deployed.parameters.get("KmsKeyArn") != "aws-managed"
    return finding(
        how == ("aws:kms" if is_with_key else "AES256"),
        f"what the load role wrote is {how}; alarms and logs were not asked",
    )
