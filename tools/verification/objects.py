"""Objects that a verification puts into the buckets of the stack."""

from typing import Any

from tools.verification.traces import Traces


def will_put(traces: Traces, client: Any, bucket: str, prefix: str) -> None:
    """Have all versions under a prefix removed in the end."""
    traces.will_make(
        f"s3://{bucket}/{prefix}",
        lambda: _remove(client, bucket, prefix),
        f"aws s3 rm --recursive s3://{bucket}/{prefix}",
    )


def _remove(client: Any, bucket: str, prefix: str) -> None:
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        keys = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
        if keys:
            client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
