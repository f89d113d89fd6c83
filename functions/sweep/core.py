"""What `SweepFunction` decides: what waits, what holds it, how it is sent again. Pure, no AWS.

A version under raw/ is one that has not been dealt with; what became of the loads that tried
says whether it is the sweeper's to send again.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from start_loads.core import UNVERSIONED, Load, UploadedFile, is_upload, read_load

RAW_PREFIX = "raw/"
STAGING_PREFIX = "staging/"
# SQS takes 262,144 bytes a message.
MAX_MESSAGE_BYTES = 200_000
MAX_RECORDS = 100
# As much as the event source takes at once: a queue that holds more is behind.
BACKLOG_MESSAGES = 10_000

OPERATOR_ERROR = "OperatorError"
ACTIVE_STATUSES = frozenset({"RUNNING", "PENDING_REDRIVE"})

_RUN_ID = re.compile(r"(?P<load_id>.+-[0-9a-f]{24})(?:-[0-9]+)?")
_STAGED_KEY = re.compile(r"staging/[^/]+/run_id=(?P<run_id>[^/]+)/[^/]+", re.DOTALL)


class RequestError(ValueError):
    """An event that is neither the schedule's nor a number of minutes for one or both limits."""


@dataclass(frozen=True)
class Limits:
    """From when on something is the sweeper's business.

    `waiting` is the time of upload, or of a load's end, before which a file has waited too long;
    `leftover` the end of a run before which no statement can still read its staging.
    """

    waiting: datetime
    leftover: datetime

    @classmethod
    def at(cls, now: datetime, minutes: Mapping[str, float]) -> "Limits":
        """The limits at a moment, from `waiting_minutes` and `leftover_minutes`."""
        return cls(
            waiting=now - timedelta(minutes=minutes["waiting_minutes"]),
            leftover=now - timedelta(minutes=minutes["leftover_minutes"]),
        )


def read_minutes(event: Mapping[str, Any], defaults: Mapping[str, float]) -> dict[str, float]:
    """The defaults, with what an event by hand says instead. Raises RequestError."""
    minutes = dict(defaults)
    if "detail-type" in event:
        return minutes
    for name, value in event.items():
        if name not in defaults:
            raise RequestError(f"{name!r} is none of {', '.join(defaults)}")
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise RequestError(f"{name} is not a number of minutes")
        minutes[name] = value
    return minutes


@dataclass
class Verdicts:
    """What the loads of the machine say of files, by file_id; the newest load of a file decides.

    `held`: running, ended just now, or waiting for an operator. `interrupted`: the ARN of an
    execution that ended without dealing with the file. Told of executions newest first.
    """

    limits: Limits
    held: set[str] = field(default_factory=set)
    interrupted: dict[str, str] = field(default_factory=dict)
    _seen_loads: set[str] = field(default_factory=set)

    def wants(self, execution: Mapping[str, Any]) -> bool:
        """Whether a listed execution has to be looked at: it is its load's newest attempt and did
        not succeed (then its files are gone, or were handed on)."""
        load_id = load_id_of(execution["name"])
        if load_id in self._seen_loads:
            return False
        self._seen_loads.add(load_id)
        return bool(execution["status"] != "SUCCEEDED")

    def add(self, execution: Mapping[str, Any]) -> None:
        """Take in a described execution."""
        load = load_of(execution)
        is_held = self._holds(execution)
        for file in load.files if load else ():
            if file.file_id in self.held or file.file_id in self.interrupted:
                continue
            if is_held:
                self.held.add(file.file_id)
            else:
                self.interrupted[file.file_id] = execution["executionArn"]

    def _holds(self, execution: Mapping[str, Any]) -> bool:
        return (
            execution["status"] in ACTIVE_STATUSES
            or execution.get("error") == OPERATOR_ERROR
            or execution["stopDate"] > self.limits.waiting
        )


def load_id_of(run_id: str) -> str:
    """The load that an execution of this name is an attempt at."""
    match = _RUN_ID.fullmatch(run_id)
    return match["load_id"] if match else run_id


def waiting_file(bucket: str, version: Mapping[str, Any], limits: Limits) -> UploadedFile | None:
    """The file that a version in a listing of raw/ is; None where it does not wait, not yet,
    or is no upload.

    A version called "null" is passed over: without a version, a listing cannot tell whether it is
    the upload that a notification told of, and it might count twice.
    """
    key, size = version["Key"], version["Size"]
    is_late = version["LastModified"] <= limits.waiting
    if not is_late or not is_upload(key, size) or version["VersionId"] == UNVERSIONED:
        return None
    return UploadedFile(
        bucket=bucket,
        key=key,
        version_id=version["VersionId"],
        etag=version["ETag"].strip('"'),
        sequencer="",
        size=size,
        uploaded_at=f"{version['LastModified']:%Y-%m-%dT%H:%M:%S}.000Z",
    )


def notifications(files: Iterable[UploadedFile]) -> Iterator[tuple[str, int]]:
    """S3 notifications that tell of the files, as message bodies, with the number of files each."""
    records: list[dict[str, Any]] = []
    size = 0
    for file in files:
        record = notification_record(file)
        record_bytes = len(json.dumps(record))
        if records and (len(records) == MAX_RECORDS or size + record_bytes > MAX_MESSAGE_BYTES):
            yield json.dumps({"Records": records}), len(records)
            records, size = [], 0
        records.append(record)
        size += record_bytes + 2
    if records:
        yield json.dumps({"Records": records}), len(records)


def notification_record(file: UploadedFile) -> dict[str, Any]:
    """The record with which S3 would have told of the file, but for its sequencer."""
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": file.uploaded_at,
        "s3": {
            "bucket": {"name": file.bucket},
            "object": {
                "key": quote_plus(file.key, safe="/"),
                "size": file.size,
                "eTag": file.etag,
                "versionId": file.version_id,
            },
        },
    }


def load_of(execution: Mapping[str, Any]) -> Load | None:
    """The load that a described execution is an attempt at.

    None where it is none that start_loads would start: people may start executions with anything.
    """
    try:
        return read_load(json.loads(execution.get("input") or "null"))
    # A document of nothing but brackets is a RecursionError to the JSON parser.
    except (ValueError, RecursionError):
        return None


def load_message(load: Load) -> str:
    """The message body that starts an ended execution's load again, as the load it was.

    What start_loads derives is left out, so that the longest fits in ASCII: SQS refuses some
    characters that keys may hold.
    """
    files = [asdict(file) for file in load.files]
    return json.dumps({"loads": [{"dataset": load.dataset, "files": files}]})


def run_id_of(staged_key: str) -> str | None:
    """The run whose staged file a key is; None for a key that no run has made."""
    match = _STAGED_KEY.fullmatch(staged_key)
    return match["run_id"] if match else None


def is_leftover(execution: Mapping[str, Any] | None, made_at: datetime, limits: Limits) -> bool:
    """Whether what a run has made is of no more use. `execution` is None where none is known:
    Step Functions forgets executions after 90 days."""
    if execution is None:
        return made_at <= limits.leftover
    return execution["status"] not in ACTIVE_STATUSES and execution["stopDate"] <= limits.leftover
