"""Step Functions and the calls that it makes, seen in one run of a machine with the load role."""

import json
import re
from contextlib import suppress
from typing import Any

from tools.datasets.choosing import first
from tools.probes import asks_aws, asks_warehouse, redshift, spectrum
from tools.verification.bench import Bench
from tools.verification.finding import Finding, UnansweredError, finding
from tools.verification.machine import POLLS, State, Task, definition_of
from tools.verification.objects import will_put

# Characters that S3 takes in a key and that its addresses write otherwise.
STRANGE_NAME = "a b+c%41&d=é.txt"
# A task may be tried again by nobody here; each state counts once, those of a loop by its turns.
CLASSIFYING_STATES = 4
SLOW_SECONDS = 6

Outcome = dict[str, Any]


@asks_aws
def spells_pascal_case(bench: Bench) -> Finding:
    table = _result(bench, "table")
    serde = table.get("Table", {}).get("StorageDescriptor", {}).get("SerdeInfo", {})
    record = _result(bench, "records").get("Records", [[{}]])[0]
    holds = "SerializationLibrary" in serde and record == [{"LongValue": 1}, {"StringValue": "x"}]
    return finding(holds, f"SerdeInfo has {', '.join(sorted(serde))}; a record is {record}")


@asks_aws
def names_missing_version(bench: Bench) -> Finding:
    return _names(bench, "missing_version", "S3.S3Exception", "Status Code: 404")


@asks_aws
def tells_missing_from_forbidden(bench: Bench) -> Finding:
    cause = _error(bench, "missing_version")["cause"]
    return finding("Status Code: 403" not in cause, cause)


@asks_aws
def names_base_errors(bench: Bench) -> Finding:
    return _names(bench, "other_content", "S3.S3Exception", "Status Code: 412")


@asks_aws
def writes_object_as_json(bench: Bench) -> Finding:
    _result(bench, "body")
    text = _object(bench, "body.json")
    try:
        holds = json.loads(text) == {"reason": "a test"}
    except ValueError:
        holds = False
    return finding(holds, f"S3 holds {text[:60]}")


@asks_aws
def writes_once(bench: Bench) -> Finding:
    """Of two writes that ask for no object to be there, the second is refused."""
    _result(bench, "first_write")
    return _names(bench, "second_write", "S3.S3Exception", "Status Code: 412")


@asks_aws
def reads_body_as_text(bench: Bench) -> Finding:
    body = _result(bench, "read").get("Body")
    return finding(body == "plain", f"Body is {body!r}")


@asks_aws
def refuses_frozen_object(bench: Bench) -> Finding:
    """A few bytes in Glacier, for a moment; a customer's key is not tried."""
    found = _outcome(bench)["frozen_copy"]
    told = f"{found.get('error', 'it was copied')}: {found.get('cause', '')}"
    return finding(bool(re.search(r"Status Code: 40[03]\b", told)), told)


@asks_aws
def takes_copy_source_encoded(bench: Bench) -> Finding:
    outcome = _outcome(bench)["strange_copy"]
    if "error" in outcome:
        return finding(False, f"{outcome['error']}: {outcome['cause']}")
    return finding(_object(bench, "copied.txt") == "strange", f"{STRANGE_NAME} was copied")


@asks_aws
def leaves_text_unescaped(bench: Bench) -> Finding:
    text = str(_outcome(bench)["spelt"])
    return finding(text == '{"a":"ü"}', f"$string gives {len(text)} characters for 9")


@asks_aws
def knows_regexp_escapes(bench: Bench) -> Finding:
    text = _outcome(bench)["cleaned"]
    return finding(text == "a?b\U0001f600?", f"of a, U+202E, b, a smiling face, C: {text!r}")


@asks_aws
def takes_jsonata_everywhere(bench: Bench) -> Finding:
    """The machine waits `Seconds` of an expression, and a task's Arguments are one."""
    statement = _result(bench, "statement")
    return finding("Id" in statement, "the machine ran through such states")


@asks_aws
def takes_comments_in_choices(bench: Bench) -> Finding:
    _outcome(bench)
    return finding(True, "a machine with such a rule was made, and ran")


@asks_warehouse
def classifies_errors(bench: Bench) -> Finding:
    """The load machine's own table of classes, given errors that the warehouse answered."""
    return _classified(bench, "values")


@asks_warehouse
def classifies_spectrum_errors(bench: Bench) -> Finding:
    return _classified(bench, "spectrum")


def _classified(bench: Bench, kind: str) -> Finding:
    outcomes = _outcome(bench)["classes"]
    if isinstance(outcomes, dict):
        raise UnansweredError(f"{outcomes.get('error')}: {outcomes.get('cause')}")
    judged = [
        (sample, outcome)
        for sample, outcome in zip(bench.samples, outcomes, strict=True)
        if sample.kind == kind
    ]
    if not judged:
        raise UnansweredError("no error was brought about")
    told = [
        f"{sample.what}: {outcome} (expected {sample.expected}): {' '.join(sample.error.split())}"
        for sample, outcome in judged
    ]
    return finding(all(one.expected == outcome for one, outcome in judged), "; ".join(told))


@asks_aws
def lists_by_end(bench: Bench) -> Finding:
    """Two executions, of which the first to start is the last to end."""
    machine = bench.machine.create(
        {
            "QueryLanguage": "JSONata",
            "StartAt": "Linger",
            "States": {
                "Linger": {"Type": "Wait", "Seconds": "{% $states.input.seconds %}", "Next": "End"},
                "End": {"Type": "Succeed"},
            },
        },
        "-slow",
    )
    slow = bench.machine.start(machine, {"seconds": SLOW_SECONDS}, 2)
    fast = bench.machine.start(machine, {"seconds": 0}, 2)
    ended = [bench.machine.ended(execution) for execution in (slow, fast)]
    if ended[0]["stopDate"] <= ended[1]["stopDate"]:
        raise UnansweredError("the slow execution ended first")
    listed = bench.machine.client.list_executions(stateMachineArn=machine)["executions"]
    arns = [one["executionArn"] for one in listed]
    return finding(arns == [slow, fast], f"the last to end is {arns.index(slow) + 1}. of 2")


def _names(bench: Bench, task: str, error: str, in_cause: str) -> Finding:
    found = _error(bench, task)
    told = f"{found['error']}: {found['cause']}"
    return finding(found["error"] == error and in_cause in found["cause"], told)


def _result(bench: Bench, task: str) -> Outcome:
    found: Outcome = _outcome(bench)[task]
    if "result" not in found:
        raise UnansweredError(f"{task}: {found.get('error')}: {found.get('cause')}")
    result: Outcome = found["result"]
    return result


def _error(bench: Bench, task: str) -> Outcome:
    found: Outcome = _outcome(bench)[task]
    if "error" not in found:
        raise UnansweredError(f"{task} did not fail: {found}")
    return found


def _object(bench: Bench, name: str) -> str:
    bucket = bench.deployed.outputs["ArchiveBucketName"]
    answer = bench.client("s3").get_object(Bucket=bucket, Key=_prefix(bench) + name)
    return str(answer["Body"].read().decode())


def _prefix(bench: Bench) -> str:
    """Where the load role may write, and nothing is triggered."""
    return f"quarantine/{bench.name}/"


def _outcome(bench: Bench) -> Outcome:
    """The output of the one run; it is made once, and so is its failure."""
    if "machine" not in bench.outcomes:
        bench.outcomes["machine"] = _run(bench)
    found = bench.outcomes["machine"]
    if isinstance(found, str):
        raise UnansweredError(found)
    return dict(found)


def definition(bench: Bench, gone_version: str) -> State:
    """The machine whose one run shows all; `gone_version` is no object's version any more."""
    return definition_of(_first(), _tasks(bench, gone_version), _more(bench))


def _run(bench: Bench) -> Outcome | str:
    for module in (redshift, spectrum):
        # Without some of them the others are still worth their run.
        with suppress(UnansweredError):
            module.bring_errors_about(bench)
    raw, archive = (bench.deployed.outputs[f"{one}BucketName"] for one in ("Raw", "Archive"))
    client = bench.client("s3")
    will_put(bench.traces, client, archive, _prefix(bench))
    will_put(bench.traces, client, raw, bench.lake.prefix)
    for name, text in (("plain.txt", b"plain"), (STRANGE_NAME, b"strange")):
        client.put_object(Bucket=archive, Key=_prefix(bench) + name, Body=text)
    frozen = _prefix(bench) + "frozen.txt"
    client.put_object(Bucket=archive, Key=frozen, Body=b"frozen", StorageClass="GLACIER")
    # A version's id as S3 makes them, of which no object has a version any more.
    gone = client.put_object(Bucket=raw, Key=f"{bench.lake.prefix}gone", Body=b"gone")
    tried = definition(bench, gone["VersionId"])
    machine = bench.machine.create(tried)
    most = len(tried["States"]) + 3 * POLLS + CLASSIFYING_STATES * len(bench.samples)
    given = {
        "dataset": bench.lake.name,
        "files": [{}],
        "samples": [one.error for one in bench.samples],
    }
    ended = bench.machine.ended(bench.machine.start(machine, given, most))
    if ended["status"] != "SUCCEEDED":
        return f"the machine ended {ended['status']}: {ended.get('error')}: {ended.get('cause')}"
    return dict(json.loads(ended["output"]))


def _first() -> State:
    return {
        "Type": "Pass",
        "Assign": {
            "spelt": "{% $string({'a': 'ü'}) %}",
            "cleaned": (
                "{% $replace('a\u202eb\U0001f600C', "
                r"/[\u202d-\u202e]|c|[\ud800-\udbff](?![\udc00-\udfff])"
                r"|(?<![\ud800-\udbff])[\udc00-\udfff]/i, '?') %}"
            ),
            "polls": 0,
            "seconds": 1,
            "status": "",
            "records": {},
            "classes": {},
        },
        "Output": {},
    }


def _tasks(bench: Bench, version: str) -> list[Task]:
    raw, archive = (bench.deployed.outputs[f"{one}BucketName"] for one in ("Raw", "Archive"))
    partition = bench.deployed.outputs["LoadStateMachineArn"].split(":")[1]
    prefix = _prefix(bench)

    def sdk(action: str) -> str:
        return f"arn:{partition}:states:::aws-sdk:{action}"

    def copy(name: str, source: str, version_id: str = "", **more: str) -> Task:
        suffix = f" & '?versionId={version_id}'" if version_id else ""
        arguments = {
            "Bucket": archive,
            "Key": prefix + "copied.txt",
            "CopySource": f"{{% $encodeUrlComponent('{source}'){suffix} %}}",
            "TaggingDirective": "REPLACE",
        }
        return Task(name, sdk("s3:copyObject"), {**arguments, **more})

    target = {**bench.deployed.target, "SecretArn": bench.deployed.outputs["LoaderSecretArn"]}
    submitted = {
        **target,
        "ClientToken": f"{bench.name}-machine",
        "Sql": "select 1 as one, cast(:text as varchar(8)) as letter",
        "Parameters": [{"Name": "text", "Value": "x"}],
    }
    once = {"Bucket": archive, "Key": f"{prefix}once.txt", "Body": "once", "IfNoneMatch": "*"}
    missing = f"{raw}/raw/{bench.name}/missing"
    return [
        Task(
            "table",
            sdk("glue:getTable"),
            {"DatabaseName": bench.deployed.glue_database, "Name": first().name},
        ),
        copy("missing_version", missing, version),
        copy("other_content", f"{archive}/{prefix}plain.txt", CopySourceIfMatch="0" * 32),
        copy("frozen_copy", f"{archive}/{prefix}frozen.txt"),
        Task("first_write", sdk("s3:putObject"), once),
        Task("second_write", sdk("s3:putObject"), once),
        Task("read", sdk("s3:getObject"), {"Bucket": archive, "Key": f"{prefix}plain.txt"}),
        copy("strange_copy", f"{archive}/{prefix}{STRANGE_NAME}"),
        Task(
            "body",
            sdk("s3:putObject"),
            {"Bucket": archive, "Key": f"{prefix}body.json", "Body": {"reason": "a test"}},
        ),
        Task(
            "statement",
            sdk("redshiftdata:executeStatement"),
            f"{{% $merge([{json.dumps(submitted)}]) %}}",
        ),
    ]


def _more(bench: Bench) -> dict[str, State]:
    """Waiting for the statement, its records, and the classes of the errors brought about."""
    partition = bench.deployed.outputs["LoadStateMachineArn"].split(":")[1]
    sdk = f"arn:{partition}:states:::aws-sdk:redshiftdata"
    catch = {
        "ErrorEquals": ["States.ALL"],
        "Assign": {
            "records": {
                "error": "{% $states.errorOutput.Error %}",
                "cause": "{% $states.errorOutput.Cause %}",
            }
        },
        "Output": {},
        "Next": "Classify",
    }
    statement = "{% $statement.result.Id %}"
    return {
        "Wait": {
            "Type": "Wait",
            "Seconds": "{% $seconds %}",
            "Assign": {"polls": "{% $polls + 1 %}", "seconds": "{% $min([2 * $seconds, 10]) %}"},
        },
        "Describe": {
            "Type": "Task",
            "Resource": f"{sdk}:describeStatement",
            "Arguments": {"Id": statement},
            "Assign": {"status": "{% $states.result.Status %}"},
            "Output": {},
            "Catch": [catch],
        },
        "IsOver": {
            "Type": "Choice",
            "Choices": [
                {
                    "Comment": "As the load machine has one.",
                    "Condition": "{% $status in ['FINISHED', 'FAILED', 'ABORTED'] %}",
                    "Next": "Fetch",
                },
                {"Condition": f"{{% $polls < {POLLS} %}}", "Next": "Wait"},
            ],
            "Default": "Fetch",
        },
        "Fetch": {
            "Type": "Task",
            "Resource": f"{sdk}:getStatementResult",
            "Arguments": {"Id": statement},
            "Assign": {"records": {"result": "{% $states.result %}"}},
            "Output": {},
            "Catch": [catch],
        },
        "Classify": _classify(bench),
    }


def _classify(bench: Bench) -> State:
    """The deployed ClassifyFailure, every way out of which ends with the class."""
    deployed = bench.machine.load_machine["States"].get("ClassifyFailure")
    if not deployed or deployed["Type"] != "Choice":
        return {"Type": "Pass", "Assign": {"classes": {"error": "no state ClassifyFailure"}}}
    choices = [{**choice, "Next": "Classified"} for choice in deployed["Choices"]]
    return {
        "Type": "Map",
        "Items": "{% $states.context.Execution.Input.samples %}",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "INLINE"},
            "StartAt": "Take",
            "States": {
                "Take": {
                    "Type": "Pass",
                    "Assign": {
                        "failure": {
                            "state": "IsLoadFinished",
                            "error": "LoadFailed",
                            "cause": "{% $states.input %}",
                        }
                    },
                    "Next": "ClassifyFailure",
                },
                "ClassifyFailure": {**deployed, "Choices": choices, "Default": "Classified"},
                "Classified": {"Type": "Pass", "Output": "{% $outcome %}", "End": True},
            },
        },
        "Assign": {"classes": "{% $states.result %}"},
        "Output": {},
        "Catch": [
            {
                "ErrorEquals": ["States.ALL"],
                "Assign": {
                    "classes": {
                        "error": "{% $states.errorOutput.Error %}",
                        "cause": "{% $states.errorOutput.Cause %}",
                    }
                },
                "Output": {},
            }
        ],
    }
