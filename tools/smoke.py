"""Send a file of an example case through a deployed environment, and say what became of it.

    python -m tools.smoke --env dev

Without --dataset it is one of the first dataset by name whose files replace each other: the file
takes the place of the one that the last run of this has sent, so the tables hold it once.
Credentials and region are those of the environment, as for the AWS CLI. Exit code 1, with the
reason, when it was not loaded.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.exceptions import ClientError

from tools.datasets.choosing import Example, NoneFitsError, example
from tools.datasets.reading import SpecError
from tools.stacks import StackError, name_of, outputs_of

# A sleeping warehouse wakes up within it, and the sweeper has come by.
WAIT_SECONDS = 1800.0
POLL_SECONDS = 2.0

Execution = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make smoke", description=__doc__)
    parser.add_argument("--env", required=True, help="an environment of samconfig.toml")
    parser.add_argument("--dataset", default="", help="with same_key: append, each file counts")
    options = parser.parse_args(arguments)
    try:
        file = example(options.dataset)
        outputs = outputs_of(name_of(options.env))
        version = upload(outputs["RawBucketName"], file)
        print(
            f"{key_of(file)} is in s3://{outputs['RawBucketName']}; waiting for its load ...",
            flush=True,
        )
        print(told(load_of(outputs["LoadStateMachineArn"], version)))
    except (ClientError, NoneFitsError, SpecError, StackError) as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    return 0


def key_of(file: Example) -> str:
    """The same for each run; delivery/github.yaml lets jobs write to it."""
    return f"raw/{file.dataset}/smoke{file.path.suffix}"


def upload(bucket: str, file: Example) -> str:
    """The id of the file's new version. Raises botocore's errors."""
    answer = boto3.client("s3").put_object(
        Bucket=bucket, Key=key_of(file), Body=file.path.read_bytes()
    )
    return str(answer["VersionId"])


def load_of(machine: str, version: str) -> Execution:
    """The ended execution that has this version among its files.

    Raises StackError when there is none in time, and botocore's errors.
    """
    client = boto3.client("stepfunctions")
    deadline = time.monotonic() + WAIT_SECONDS
    others: set[str] = set()
    while time.monotonic() < deadline:
        recent = client.list_executions(stateMachineArn=machine, maxResults=100)["executions"]
        for arn in {execution["executionArn"] for execution in recent} - others:
            execution: Execution = client.describe_execution(executionArn=arn)
            files = json.loads(execution["input"])["files"]
            if all(file["version_id"] != version for file in files):
                others.add(arn)
            elif execution["status"] != "RUNNING":
                return execution
        time.sleep(POLL_SECONDS)
    raise StackError(f"No load of it has ended within {WAIT_SECONDS / 60:.0f} minutes.")


def told(execution: Execution) -> str:
    """What became of the file. Raises StackError when that is no good."""
    if execution["status"] != "SUCCEEDED":
        raise StackError(
            f"{execution['status']}: {execution.get('error', 'no error')}: "
            f"{execution.get('cause', 'no cause')}\n{execution['executionArn']}"
        )
    result = json.loads(execution["output"])
    seconds = (execution["stopDate"] - execution["startDate"]).total_seconds()
    return (
        f"Loaded in {seconds:.0f} s: {result['source_rows']:,} rows, "
        f"{result['rejected_rows']:,} rejected."
    )


if __name__ == "__main__":
    sys.exit(main())
