"""Where the listing of raw/ goes on, when a sweep came to its end before the listing did."""

import json
from dataclasses import dataclass
from typing import Any

KEY = "sweep/place.json"
MARKERS = ("KeyMarker", "VersionIdMarker")

# What S3 is told to list on from; empty for the beginning.
Marker = dict[str, str]


@dataclass(frozen=True)
class Place:
    """An object in the archive bucket, while there is a place to go on from."""

    s3: Any
    bucket: str

    def read(self) -> Marker:
        """The marker that was written last; the beginning where none was, or where it is none."""
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=KEY)
        except self.s3.exceptions.NoSuchKey:
            return {}
        return _read(answer["Body"].read())

    def write(self, marker: Marker) -> None:
        """Have the next sweep go on from here; from the beginning, where the marker is empty."""
        if marker:
            body = json.dumps(marker).encode()
            self.s3.put_object(Bucket=self.bucket, Key=KEY, Body=body)
        else:
            self.s3.delete_object(Bucket=self.bucket, Key=KEY)


def after(page: dict[str, Any]) -> Marker:
    """The marker of what follows a page of a listing of versions; empty after the last one."""
    if not page.get("IsTruncated"):
        return {}
    return {name: page.get(f"Next{name}", "") for name in MARKERS}


def _read(body: bytes) -> Marker:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    is_marker = isinstance(document, dict) and sorted(document) == sorted(MARKERS)
    return document if is_marker and all(isinstance(v, str) for v in document.values()) else {}
