"""Delete an environment's stack, and say what is kept, what that costs, and how it goes too.

    python -m tools.destroy --env dev [--yes] [--snapshot-days 90]

Before, a snapshot is taken of the stack's own warehouse, while its workgroup is there. Credentials
and region are those of the environment, as for the AWS CLI. Exit code 1, with the reason, when
there is no such stack, when no snapshot can be taken, or when the stack cannot be deleted.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError

from tools.prices import PRICES, usd
from tools.stacks import PATIENCE, StackError, name_of, wait

GB = 1e9
SNAPSHOT_DAYS = 90


class DestroyError(RuntimeError):
    """The stack stays; the text says why."""


@dataclass(frozen=True)
class Kept:
    """Something that outlives the stack."""

    name: str
    holds: str
    costs: str
    removed_by: str

    def told(self) -> str:
        return f"{self.name}: {self.holds}, {self.costs}\n    to remove it: {self.removed_by}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make destroy", description=__doc__)
    parser.add_argument("--env", required=True, help="an environment of samconfig.toml")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--snapshot-days", type=int, default=SNAPSHOT_DAYS, help="how long the snapshot is kept"
    )
    options = parser.parse_args(arguments)
    try:
        name = name_of(options.env)
        stack = found(name)
        if not options.yes and input(f"Type {name} to delete the stack: ") != name:
            raise DestroyError("That is not its name: nothing was deleted.")
        kept = list(what_is_kept(stack))
        if "WarehouseWorkgroup" in stack["resources"]:
            print("Taking a snapshot of the warehouse ...", flush=True)
            kept.append(snapshot(stack["resources"]["WarehouseNamespace"], options.snapshot_days))
        print(f"Deleting {name} ...", flush=True)
        delete(stack)
    except (DestroyError, StackError) as error:
        print(f"destroy: {error}", file=sys.stderr)
        return 1
    print(report(name, kept))
    return 0


def found(name: str) -> dict[str, Any]:
    """The stack, with `resources` that are there: physical by logical ids. Raises DestroyError."""
    client = boto3.client("cloudformation")
    try:
        [stack] = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        raise DestroyError(f"{name}: {error.response['Error']['Message']}") from error
    pages = client.get_paginator("list_stack_resources").paginate(StackName=name)
    resources = {
        item["LogicalResourceId"]: item.get("PhysicalResourceId", "")
        for page in pages
        for item in page["StackResourceSummaries"]
        if item["ResourceStatus"] != "DELETE_COMPLETE"
    }
    return {**stack, "resources": resources}


def what_is_kept(stack: dict[str, Any]) -> Iterator[Kept]:
    """What the template keeps: buckets, the key of the stack, the warehouse's namespace."""
    resources = stack["resources"]
    for name in ("RawBucket", "ArchiveBucket"):
        # A first deployment that failed has none.
        if name in resources:
            yield kept_bucket(resources[name], *contents(resources[name]))
    if "EncryptionKey" in resources:
        key = resources["EncryptionKey"]
        remove = f"aws kms schedule-key-deletion --key-id {key}   (last: the others need it)"
        costs = f"{usd('kms_key'):.2f} USD a month"
        yield Kept(f"key {key}", "decrypts all of this", costs, remove)
    if "WarehouseNamespace" in resources:
        namespace = resources["WarehouseNamespace"]
        remove = f"aws redshift-serverless delete-namespace --namespace-name {namespace}"
        costs = f"{usd('redshift_storage')} USD a GB and month"
        yield Kept(f"namespace {namespace}", "ledger and aggregates", costs, remove)


def snapshot(namespace: str, days: int) -> Kept:
    """Take a snapshot of a namespace and wait for it. Raises DestroyError."""
    client = boto3.client("redshift-serverless")
    name = f"{namespace}-{datetime.now(UTC):%Y%m%d%H%M%S}"
    try:
        client.create_snapshot(namespaceName=namespace, snapshotName=name, retentionPeriod=days)
        status = "CREATING"
        for _ in range(PATIENCE["MaxAttempts"]):
            if status != "CREATING":
                break
            time.sleep(PATIENCE["Delay"])
            status = client.get_snapshot(snapshotName=name)["snapshot"]["status"]
    except ClientError as error:
        why = error.response["Error"]["Message"]
        raise DestroyError(f"No snapshot of {namespace}, so nothing was deleted: {why}") from error
    if status != "AVAILABLE":
        raise DestroyError(f"The snapshot {name} is {status}, so nothing was deleted.")
    return Kept(
        f"snapshot {name}",
        f"the same as it is now, for {days} days, also when the namespace is removed",
        f"{usd('redshift_snapshot')} USD a GB and month",
        f"aws redshift-serverless delete-snapshot --snapshot-name {name}",
    )


def kept_bucket(bucket: str, objects: int, size: int) -> Kept:
    """`size` in bytes; versions count as objects."""
    return Kept(
        f"s3://{bucket}",
        f"{objects:,} object versions, {size / GB:,.3f} GB",
        f"{size / GB * usd('s3_storage'):,.2f} USD a month",
        "empty it in the S3 console (all versions), then "
        f"aws s3api delete-bucket --bucket {bucket}",
    )


def contents(bucket: str) -> tuple[int, int]:
    """The number of object versions in a bucket, and their bytes."""
    pages = boto3.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket)
    sizes = [version["Size"] for page in pages for version in page.get("Versions", [])]
    return len(sizes), sum(sizes)


def delete(stack: dict[str, Any]) -> None:
    """Delete a stack and wait. Raises DestroyError with what CloudFormation says."""
    client = boto3.client("cloudformation")
    name, stack_id = stack["StackName"], stack["StackId"]
    client.delete_stack(StackName=name)
    try:
        wait(client, "stack_delete_complete", stack_id)
    except StackError as error:
        raise DestroyError(f"{name} was not deleted:\n{error}") from error


def report(name: str, kept: Sequence[Kept]) -> str:
    """What is told when the stack is gone."""
    return "\n".join(
        [
            f"{name} is deleted. Kept, at list prices of {PRICES['as_of']}:",
            *(f"  {one.told()}" for one in kept),
            "To deploy under the same name again, remove buckets and namespace first: their names "
            "are fixed. docs/runbook.md says how to go on with the warehouse.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
