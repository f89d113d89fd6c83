"""Show what a deployment would change, and carry out just what was shown.

    python -m tools.changes show --env prod [options of `sam deploy`]
    python -m tools.changes execute --env prod --change-set ARN

`show` has SAM upload what was built, pins the versions that it has uploaded, makes a change set of
that without executing it, and prints it as Markdown; in a GitHub job also into the job's summary,
with the change set's ARN as the step's output `change_set` (empty: nothing changes). `execute`
refuses a change set whose packages are not pinned, and waits until the stack is up to date.
Credentials and region are those of the environment, as for the AWS CLI. Exit code 1, with the
reason, when the stack is not as it was meant to be.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from tools import packages
from tools.stacks import SAMCONFIG, StackError, name_of, wait

BUILT = SAMCONFIG.parent / ".aws-sam" / "build" / "template.yaml"
CHANGE_SET = re.compile(r"arn:[\w-]+:cloudformation:\S+:changeSet/\S+")
# What these hold is not in the template, so nothing makes it anew.
HOLD_DATA = {
    "AWS::Glue::Table",
    "AWS::KMS::Key",
    "AWS::RedshiftServerless::Namespace",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
}

Change = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="changes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    # An option of SAM's must not be taken for the beginning of one of these.
    showing = commands.add_parser("show", help="make and show a change set", allow_abbrev=False)
    showing.add_argument("--template-file", type=Path, default=BUILT, help="what was built")
    showing.add_argument("--s3-bucket", default="", help="where packages go; SAM's own by default")
    executing = commands.add_parser("execute", help="carry out what was shown", allow_abbrev=False)
    executing.add_argument("--change-set", required=True, help="its ARN")
    for command in (showing, executing):
        command.add_argument("--env", required=True, help="an environment of samconfig.toml")
    options, others = parser.parse_known_args(arguments)
    if others and options.command == "execute":
        parser.error(f"unknown: {' '.join(others)}")
    try:
        if options.command == "show":
            show(options.env, others, options.template_file, options.s3_bucket)
        else:
            execute(name_of(options.env), options.change_set)
    except (ClientError, StackError) as error:
        print(f"changes: {error}", file=sys.stderr)
        return 1
    return 0


def show(environment: str, options: Sequence[str], built: Path, bucket: str) -> None:
    """Raises StackError, and botocore's errors."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "pinned.json"
        uploaded = package(environment, options, built, bucket, pinned)
        change_set = make(environment, options, pinned, bucket)
    if change_set:
        check_pinned(name_of(environment), change_set, uploaded)
        changes = changes_in(name_of(environment), change_set)
        text = "\n".join([*table(environment, changes), *listed(uploaded)])
    else:
        text = f"### {environment}: nothing changes"
    print(text)
    _append("GITHUB_STEP_SUMMARY", text)
    _append("GITHUB_OUTPUT", f"change_set={change_set}")


def package(
    environment: str, options: Sequence[str], built: Path, bucket: str, pinned: Path
) -> dict[str, packages.Package]:
    """Upload what was built; write a template of what was uploaded. Raises StackError."""
    packaged = pinned.with_name("packaged.yaml")
    command = ["sam", "package", "--template-file", str(built), "--output-template-file"]
    command += [str(packaged), *_where(bucket), *_config_file(options)]
    run(command)
    return packages.pin(boto3.client("s3"), built, packaged, pinned)


def make(environment: str, options: Sequence[str], template: Path, bucket: str) -> str:
    """The ARN of a new change set; "" where nothing would change. Raises StackError."""
    command = ["sam", "deploy", "--config-env", environment, "--template-file", str(template)]
    command += [*_where(bucket), *options, "--no-execute-changeset", "--no-confirm-changeset"]
    matches = [match.group() for line in run(command) if (match := CHANGE_SET.search(line))]
    return matches[-1] if matches else ""


def run(command: Sequence[str]) -> list[str]:
    """The lines that a program has printed, which are told as they come. Raises StackError."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        lines = []
        for line in program.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            lines.append(line)
    if program.returncode != 0:
        name = " ".join(command[:2])
        raise StackError(f"{name} ended with exit code {program.returncode}: see above.")
    return lines


def _where(bucket: str) -> list[str]:
    return ["--s3-bucket", bucket, "--no-resolve-s3"] if bucket else ["--resolve-s3"]


def _config_file(options: Sequence[str]) -> list[str]:
    if "--config-file" not in options:
        return []
    at = list(options).index("--config-file")
    return list(options[at : at + 2])


def check_pinned(stack: str, change_set: str, uploaded: Mapping[str, packages.Package]) -> None:
    """Raises StackError where a change set is of other packages, and botocore's errors."""
    expected = {name: one.as_property() for name, one in uploaded.items()}
    if packages.versions(template_of(stack, change_set)) != expected:
        raise StackError("The change set is not of what was uploaded: make another.")


def template_of(stack: str, change_set: str) -> Any:
    """The template of a change set as it was given. Raises botocore's errors."""
    answer = boto3.client("cloudformation").get_template(
        StackName=stack, ChangeSetName=change_set, TemplateStage="Original"
    )
    return answer["TemplateBody"]


def changes_in(stack: str, change_set: str) -> list[Change]:
    """The changes to resources. Raises botocore's errors."""
    client = boto3.client("cloudformation")
    pages = client.get_paginator("describe_change_set").paginate(
        StackName=stack, ChangeSetName=change_set
    )
    found = [change for page in pages for change in page["Changes"]]
    return [change["ResourceChange"] for change in found if "ResourceChange" in change]


def table(environment: str, changes: Sequence[Change]) -> Iterator[str]:
    """The lines of a table in Markdown, those first that need a second look."""
    yield f"### {environment}: {len(changes)} resources change"
    yield ""
    yield "| Action | Resource | Type | Mind |"
    yield "| --- | --- | --- | --- |"
    for change in sorted(changes, key=lambda c: (not warning(c), c["LogicalResourceId"])):
        name, kind = change["LogicalResourceId"], change["ResourceType"]
        yield f"| {change['Action']} | {name} | {kind} | {warning(change)} |"


def listed(uploaded: Mapping[str, packages.Package]) -> Iterator[str]:
    """What is deployed, by digest: to be held against a build of one's own."""
    yield ""
    yield "| Package of | SHA-256 | Version |"
    yield "| --- | --- | --- |"
    for name, one in sorted(uploaded.items()):
        yield f"| {name} | `{one.sha256}` | `{one.version}` |"


def warning(change: Change) -> str:
    """What may be lost by a change; "" where nothing is."""
    if change["Action"] == "Remove":
        what = "removed"
    elif change.get("Replacement") in ("True", "Conditional"):
        what = "replaced" if change["Replacement"] == "True" else "replaced, maybe"
    else:
        return ""
    return f"**{what}, with its data**" if change["ResourceType"] in HOLD_DATA else what


def execute(name: str, change_set: str) -> None:
    """Raises StackError, and botocore's errors."""
    client = boto3.client("cloudformation")
    [stack] = client.describe_stacks(StackName=name)["Stacks"]
    is_new = stack["StackStatus"] == "REVIEW_IN_PROGRESS"
    packages.versions(template_of(name, change_set))
    # With the stack's name, since permissions go by it.
    client.execute_change_set(StackName=name, ChangeSetName=change_set)
    print(f"Waiting for {name} ...", flush=True)
    waiter = "stack_create_complete" if is_new else "stack_update_complete"
    wait(client, waiter, stack["StackId"])
    print(f"{name} is up to date.")


def _append(variable: str, text: str) -> None:
    """Add a line to the file that GitHub's runner names in this variable; elsewhere, do nothing."""
    if path := os.environ.get(variable):
        with Path(path).open("a") as file:
            print(text, file=file)


if __name__ == "__main__":
    sys.exit(main())
