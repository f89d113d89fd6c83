"""What `StartLoadsFunction` decides: which uploads make up which loads. Pure, no AWS.

The identity rules live here: the same set of object versions always gives the same
`load_id` and, byte for byte, the same state machine input.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import unquote_plus

from start_loads.ignored import matching_pattern
from start_loads.shown import shown

MAX_FILES_PER_LOAD = 100
# Redshift's VARCHAR holds 65,535 bytes. Entries are counted at their longest spelling: nobody knows
# which one Step Functions takes.
MAX_MANIFEST_BYTES = 64_000
# The machine hands on the beginning of each file's checksum: so many characters of Base64.
MAX_CONTENT_LENGTH = 22
MAX_KEY_BYTES = 1_024
# What S3's own stay within. Longer ones would make the input of a load, its neighbours' too, one
# that Step Functions does not take; or the ledger one that it cuts.
MAX_CHARACTERS = {"version_id": 1_024, "etag": 128, "sequencer": 64}
MAX_SIZE = 2**53
MAX_ATTEMPTS = 99
# How far ahead the clock may be that dates an event. The load machine has the same.
CLOCK_TOLERANCE = timedelta(minutes=15)
IGNORED_METRIC = "UploadsIgnored"
ASTRAY_METRIC = "UploadsAstray"
OUTSIDE = "the key is outside raw/<dataset>/"
# How deep a notification may lie in envelopes.
MAX_ENVELOPES = 3
# S3's other events. A name that is neither of these nor an upload's is one to look at.
OTHER_EVENTS = (
    "IntelligentTiering",
    "LifecycleExpiration:",
    "LifecycleTransition",
    "ObjectAcl:",
    "ObjectRemoved:",
    "ObjectRestore:",
    "ObjectTagging:",
    "ReducedRedundancyLostObject",
    "Replication:",
)
# An execution's name has 80 characters at most: 40 + "-" + 24 hex digits + "-99".
MAX_SLUG_LENGTH = 40
MAX_STAGED_SUFFIXES = 2

DUPLICATE_STATUSES = frozenset({"RUNNING", "SUCCEEDED", "PENDING_REDRIVE"})
# The output's status of an execution that has handed its files on: in halves, or as they were.
HANDED_ON_STATUSES = frozenset({"split", "requeued"})
# What a bucket whose versioning is suspended calls every new version.
UNVERSIONED = "null"
ARCHIVE_FOLDER = "archive"
QUARANTINE_FOLDER = "quarantine"
REASON_SUFFIX = ".reason.json"
COMPRESSION_SUFFIXES = frozenset(
    {"br", "bz2", "deflate", "gz", "lz4", "lzo", "snappy", "xz", "zip", "zst"}
)

# What the warehouse's texts (NUL), or the messages of SQS, cannot hold.
_UNSENDABLE = re.compile("[\x00\ufffe\uffff]")
_PLAIN_SUFFIX = re.compile(r"[a-z0-9]{1,10}")
_OUTSIDE_SLUG = re.compile(r"[^0-9A-Za-z_-]")
_SHORT_ESCAPE = re.compile(r'\\(["\\bfnrt])')


class MalformedEventError(ValueError):
    """An event, message or record that is not what S3 sends. Retrying does not help."""


class AttemptsExhaustedError(RuntimeError):
    """All `MAX_ATTEMPTS` names of a load are taken by failed executions."""


@dataclass(frozen=True, order=True)
class UploadedFile:
    """One object version under `raw/<dataset>/`.

    `key` is decoded; `version_id`, `etag` and `sequencer` are "" where S3 gave none;
    `size` is in bytes; `uploaded_at` is the event's time, ISO 8601 in UTC with milliseconds, or
    the version's last-modified where a listing found it.
    """

    bucket: str
    key: str
    version_id: str
    etag: str
    sequencer: str
    size: int
    uploaded_at: str

    @property
    def dataset(self) -> str:
        """The path element after `raw/`. Hostile input: any text without a slash."""
        return self.key.split("/")[1]

    @property
    def name(self) -> str:
        """The last path element of the key."""
        return self.key.rstrip("/").rpartition("/")[2]

    @cached_property
    def file_id(self) -> str:
        """32 hex digits that name this object version and no other."""
        version = [self.version_id] if self.version_id else ["", self.etag, self.sequencer]
        # JSON, so that no two lists of texts are spelt alike.
        return _sha256(json.dumps([self.bucket, self.key, *version]))[:32]

    @property
    def staged_name(self) -> str:
        """`<file_id>[.<format>][.<compression>]`: a name that Spectrum neither hides nor misreads.

        Spectrum tells compression by the suffix, so that one has to survive.
        """
        suffixes: list[str] = []
        for suffix in reversed(self.name.lower().split(".")[1:]):
            if len(suffixes) == MAX_STAGED_SUFFIXES or not _PLAIN_SUFFIX.fullmatch(suffix):
                break
            suffixes.insert(0, suffix)
            if suffix not in COMPRESSION_SUFFIXES:
                break
        return ".".join([self.file_id, *suffixes])

    @property
    def stands_alone(self) -> bool:
        """Whether the file is to share its load with no other: what comes of a load with such a key
        may not concern others."""
        return _UNSENDABLE.search(self.key) is not None

    @property
    def archive_key(self) -> str:
        """`archive/<dataset>/<yyyy>/<mm>/<dd>/<file_id>/<name>`, by the day of upload (UTC).

        The name loses characters at its left where S3's limit of 1,024 bytes asks for it: for this
        key, and for the one in quarantine that the state machine makes of it, with its reason.
        """
        day = _moment(self.uploaded_at).date().isoformat().replace("-", "/")
        rest = f"/{self.dataset}/{day}/{self.file_id}/"
        taken = len(f"{QUARANTINE_FOLDER}{rest}{REASON_SUFFIX}".encode())
        return ARCHIVE_FOLDER + rest + _last_bytes(self.name, MAX_KEY_BYTES - taken)

    def manifest_entry(self) -> dict[str, Any]:
        """What the load procedure is told about the file, in its parameter `p_files`."""
        return {
            "file_id": self.file_id,
            "key": self.key,
            "version_id": self.version_id,
            "sequencer": self.sequencer,
            "size": self.size,
            "uploaded_at": self.uploaded_at,
            # The machine finds these two out; here they stand at their longest.
            "is_gone": False,
            "content": "=" * MAX_CONTENT_LENGTH,
        }

    def to_input(self) -> dict[str, Any]:
        """What the state machine is told about the file."""
        return asdict(self) | {
            "file_id": self.file_id,
            "staged_name": self.staged_name,
            "archive_key": self.archive_key,
        }


@dataclass(frozen=True)
class SkippedRecord:
    """A record that is no upload to load, and why. The texts are the event's own.

    `metric` is the one that counts it; "" where nobody has to hear of it.
    """

    bucket: str
    key: str
    reason: str
    metric: str = ""


@dataclass(frozen=True)
class Sizes:
    """The most that a file, and that the files of a load together, may have, in bytes."""

    of_file: int
    of_load: int


@dataclass(frozen=True)
class Load:
    """A batch of files of one dataset, sorted by `file_id`: one execution, one transaction."""

    dataset: str
    files: tuple[UploadedFile, ...]

    @property
    def load_id(self) -> str:
        """`<slug of the dataset>-<24 hex digits over the file_ids>`, at most 65 characters."""
        slug = _OUTSIDE_SLUG.sub("_", self.dataset)[:MAX_SLUG_LENGTH]
        return f"{slug}-{_sha256(json.dumps([file.file_id for file in self.files]))[:24]}"

    def to_input(self) -> str:
        """The execution's input, compact JSON: the same batch gives the same bytes."""
        document = {
            "dataset": self.dataset,
            "load_id": self.load_id,
            "files": [file.to_input() for file in self.files],
        }
        return _compact_json(document)

    def run_ids(self) -> Iterator[str]:
        """The execution names of the attempts, in order: `load_id`, `load_id-2`, `load_id-3` …"""
        yield self.load_id
        for attempt in range(2, MAX_ATTEMPTS + 1):
            yield f"{self.load_id}-{attempt}"


@dataclass
class Intake:
    """What a set of messages holds, and which message brought which file or load.

    A message is a notification (see read_notification), whose files are batched with those of
    others, or `{"loads": [{"dataset": …, "files": […]}, …]}`, batches to be started as they are.
    All are added before the first question. Only what tells of the bucket `bucket`, and of no time
    after `latest`, is taken in: a version from the future would win over each that corrects it.
    """

    bucket: str
    latest: datetime
    sizes: Sizes | None = None

    uploads: list[UploadedFile] = field(default_factory=list)
    skipped: list[SkippedRecord] = field(default_factory=list)
    given_loads: dict[str, Load] = field(default_factory=dict)
    message_ids: dict[str, set[str]] = field(default_factory=dict)

    def add(self, message_id: str, message: object) -> None:
        """Take one message in, whole or not at all.

        Raises MalformedEventError if any of its records or loads cannot be read.
        """
        if isinstance(message, Mapping) and "loads" in message:
            loads = read_loads(message)
            self._check([file for load in loads for file in load.files])
            for load in loads:
                self.given_loads[load.load_id] = load
                self.message_ids.setdefault(load.load_id, set()).add(message_id)
            return
        uploads, skipped = read_notification(message)
        self._check(uploads)
        self.uploads.extend(uploads)
        self.skipped.extend(skipped)
        for upload in uploads:
            self.message_ids.setdefault(upload.file_id, set()).add(message_id)

    def _check(self, files: Iterable[UploadedFile]) -> None:
        for file in files:
            if file.bucket != self.bucket:
                raise MalformedEventError(f"{shown(file.bucket)} is not the pipeline's bucket")
            if _moment(file.uploaded_at) > self.latest:
                raise MalformedEventError(f"{file.uploaded_at} lies in the future")

    def loads(self) -> list[Load]:
        """The loads that were given, and those that cover every notified file once."""
        return list({**self.given_loads, **self._planned_loads}.values())

    def messages_of(self, load: Load) -> set[str]:
        """The messages that brought this load or a file of it, duplicates included.

        Not those that brought a file of a given load on its own: another load has it too.
        """
        names = [load.load_id] if load.load_id in self.given_loads else []
        if load.load_id in self._planned_loads:
            names += [file.file_id for file in load.files]
        return {message_id for name in names for message_id in self.message_ids[name]}

    @cached_property
    def _planned_loads(self) -> dict[str, Load]:
        return {load.load_id: load for load in plan_loads(self.uploads, self.sizes)}


def read_notification(notification: object) -> tuple[list[UploadedFile], list[SkippedRecord]]:
    """The uploads of one notification, and the records that are none.

    S3 sends it, to the queue or by way of SNS, or EventBridge does. Raises MalformedEventError
    where it is neither's.
    """
    notification = _unwrapped(notification)
    if "detail-type" in notification:
        read = [read_event(notification)]
    elif notification.get("Event") == "s3:TestEvent":
        bucket = str(notification.get("Bucket", ""))
        return [], [SkippedRecord(bucket, "", "s3:TestEvent, which S3 sends when it is wired up")]
    else:
        records = notification.get("Records")
        if not isinstance(records, list) or not records:
            raise MalformedEventError("the notification has no Records")
        read = [read_record(record) for record in records]
    return (
        [entry for entry in read if isinstance(entry, UploadedFile)],
        [entry for entry in read if isinstance(entry, SkippedRecord)],
    )


def _unwrapped(notification: object) -> Mapping[str, Any]:
    """What S3 or EventBridge said, out of what SNS put around it. Raises MalformedEventError."""
    for _ in range(MAX_ENVELOPES):
        if not isinstance(notification, Mapping):
            raise MalformedEventError("the notification is not a JSON object")
        if notification.get("Type") != "Notification":
            return notification
        try:
            notification = json.loads(_text(notification, "Message"))
        except (json.JSONDecodeError, RecursionError):
            raise MalformedEventError("what SNS brought is not JSON") from None
    raise MalformedEventError("the notification lies in too many envelopes")


def read_loads(message: Mapping[str, object]) -> list[Load]:
    """The batches that a message asks for; what a file's entry holds beyond its fields is left.

    Raises MalformedEventError where a batch is not one that this function could have made.
    """
    loads = message["loads"]
    if not isinstance(loads, list) or not loads:
        raise MalformedEventError("loads is not a list of loads")
    if "Records" in message:
        raise MalformedEventError("the message has both loads and Records")
    return [read_load(load) for load in loads]


def read_load(document: object) -> Load:
    """One batch, as it stands in a message or in an execution's input.

    Raises MalformedEventError.
    """
    dataset = _text(document, "dataset")
    entries = _member(document, "files")
    if not isinstance(entries, list):
        raise MalformedEventError("files is not a list")
    files = [read_file(entry) for entry in entries]
    strangers = [file.key for file in files if file.dataset != dataset]
    if strangers:
        raise MalformedEventError(f"{shown(strangers[0])} is not of the dataset {shown(dataset)}")
    planned = plan_loads(files)
    if len(planned) != 1 or len(planned[0].files) != len(files):
        raise MalformedEventError(f"{len(files)} files do not make one load of distinct files")
    return planned[0]


def read_file(entry: object) -> UploadedFile:
    """One file, under the names of `UploadedFile`'s fields. Raises MalformedEventError."""
    key = _text(entry, "key")
    _check_key(key)
    size = _size(entry)
    # What was a load once stays one: what is ignored may have changed meanwhile.
    if reason := reason_to_refuse(key, size):
        raise MalformedEventError(f"{shown(key)}: {reason}")
    return _uploaded_file(
        bucket=_text(entry, "bucket"),
        key=key,
        # None may be missing: a file that had lost its version would be another file.
        version_id=_text_or_empty(entry, "version_id"),
        etag=_text_or_empty(entry, "etag"),
        sequencer=_text_or_empty(entry, "sequencer"),
        size=size,
        uploaded_at=_text(entry, "uploaded_at"),
    )


def read_record(record: object) -> UploadedFile | SkippedRecord:
    """One record of an S3 notification; its key is form-encoded, and is decoded here, once.

    Raises MalformedEventError where a field is missing or of the wrong kind, or where the event
    is not one of S3's.
    """
    if _text(record, "eventSource") != "aws:s3":
        raise MalformedEventError("the record is not from aws:s3")
    # Notifications spell it without, configurations with "s3:" in front.
    event_name = _text(record, "eventName").removeprefix("s3:")
    s3 = _member(record, "s3")
    bucket = _text(_member(s3, "bucket"), "name")
    entity = _member(s3, "object")
    key = _decode_key(_text(entity, "key"))
    if event_name.startswith(OTHER_EVENTS):
        return SkippedRecord(bucket, key, f"{shown(event_name)} is no upload")
    if not event_name.startswith("ObjectCreated:"):
        raise MalformedEventError(f"{shown(event_name)} is no event of S3's that is known")
    return _upload(
        bucket=bucket,
        key=key,
        version_id=_optional_text(entity, "versionId"),
        etag=_optional_text(entity, "eTag"),
        sequencer=_optional_text(entity, "sequencer"),
        size=_size(entity),
        uploaded_at=_text(record, "eventTime"),
    )


def read_event(event: object) -> UploadedFile | SkippedRecord:
    """One event of S3's as EventBridge brings it, with its key as it is.

    Raises MalformedEventError where a field is missing or of the wrong kind, or where the event
    is another service's.
    """
    if _text(event, "source") != "aws.s3":
        raise MalformedEventError("the event is not from aws.s3")
    detail = _member(event, "detail")
    bucket = _text(_member(detail, "bucket"), "name")
    entity = _member(detail, "object")
    key = _text(entity, "key")
    _check_key(key)
    kind = _text(event, "detail-type")
    if kind != "Object Created":
        return SkippedRecord(bucket, key, f"{shown(kind)} is no upload")
    return _upload(
        bucket=bucket,
        key=key,
        version_id=_optional_text(entity, "version-id"),
        etag=_optional_text(entity, "etag"),
        sequencer=_optional_text(entity, "sequencer"),
        size=_size(entity),
        uploaded_at=_text(event, "time"),
    )


def _upload(bucket: str, key: str, size: int, **fields: str) -> UploadedFile | SkippedRecord:
    """The file that was uploaded, or why it is none to load. Raises MalformedEventError."""
    if reason := reason_to_refuse(key, size):
        is_astray = key.startswith("raw/") and reason == OUTSIDE
        return SkippedRecord(bucket, key, reason, ASTRAY_METRIC if is_astray else "")
    if reason := reason_to_ignore(key, size):
        return SkippedRecord(bucket, key, f"no upload: {reason}", IGNORED_METRIC)
    return _uploaded_file(bucket=bucket, key=key, size=size, **fields)


def is_upload(key: str, size: int) -> bool:
    """Whether this (decoded) key is to be loaded. `size` is in bytes."""
    return not reason_to_refuse(key, size) and not reason_to_ignore(key, size)


def reason_to_ignore(key: str, size: int) -> str:
    """Why this key of a dataset is no upload; "" where it is one. `size` is in bytes.

    A gateway writes an empty object when a transfer begins, and the file under the same key later.
    """
    if size == 0:
        return "it is empty"
    pattern = matching_pattern(key)
    return pattern and f"it matches {pattern}"


def reason_to_refuse(key: str, size: int) -> str:
    """Why this key cannot be a file of a dataset; "" where it can. `size` is in bytes."""
    if key.endswith("/") and size == 0:
        return "a folder marker"
    prefix, _, rest = key.partition("/")
    dataset, _, name = rest.partition("/")
    if prefix != "raw" or not dataset or not name:
        return OUTSIDE
    return ""


def plan_loads(uploads: Iterable[UploadedFile], sizes: Sizes | None = None) -> list[Load]:
    """Group uploads by dataset and cut each group into loads that stay within the limits.

    A file over the limit of `sizes` is a load by itself, which the load machine refuses. Depends on
    the set of uploads and the limits only: neither on their order nor on repeats. Where two
    records tell of the same object version, the least one counts, but S3's own, which has a
    sequencer, before the sweeper's, which has none.
    """
    by_dataset: dict[str, dict[str, UploadedFile]] = {}
    for upload in sorted(uploads, key=lambda upload: (not upload.sequencer, upload)):
        by_dataset.setdefault(upload.dataset, {}).setdefault(upload.file_id, upload)
    return [
        Load(dataset, chunk)
        for dataset, files in sorted(by_dataset.items())
        for chunk in _chunks([files[file_id] for file_id in sorted(files)], sizes)
    ]


def is_duplicate(load: Load, execution: Mapping[str, Any]) -> bool:
    """Whether a described execution of one of the load's names makes another one needless.

    One with another input is none of the load's, whoever gave it its name. One that has handed its
    files on loads none of them: should they still be there, nothing else would.
    """
    return (
        execution["status"] in DUPLICATE_STATUSES
        and not _is_handed_on(execution.get("output") or "")
        and _identity(_document(execution.get("input"))) == _identity(json.loads(load.to_input()))
    )


def _document(text: str | None) -> object:
    try:
        return json.loads(text or "null")
    # A document of nothing but brackets is a RecursionError to the JSON parser.
    except (ValueError, RecursionError):
        return None


def _identity(document: object) -> object:
    """What of an execution's input says which files it loads from where; None where it is none.

    The time and the sequencer are no part: the sweeper tells of the same version without them.
    """
    if not isinstance(document, Mapping):
        return None
    files = document.get("files")
    if not isinstance(files, list) or not all(isinstance(file, Mapping) for file in files):
        return None
    names = ("bucket", "key", "version_id", "etag", "size", "file_id", "staged_name")
    of_files = [[file.get(name) for name in names] for file in files]
    return [document.get("dataset"), document.get("load_id"), of_files]


def _is_handed_on(output: str) -> bool:
    document = json.loads(output or "{}")
    return isinstance(document, Mapping) and document.get("status") in HANDED_ON_STATUSES


def _uploaded_file(**fields: Any) -> UploadedFile:
    """A file whose time can be read, with texts of S3's lengths. Raises MalformedEventError."""
    moment = _moment(fields["uploaded_at"])
    for name, limit in MAX_CHARACTERS.items():
        if len(fields[name]) > limit:
            raise MalformedEventError(f"{name} has more than {limit} characters")
    fields["uploaded_at"] = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
    if fields["version_id"] == UNVERSIONED:
        fields["version_id"] = ""
    return UploadedFile(**fields)


def _chunks(files: list[UploadedFile], sizes: Sizes | None) -> Iterator[tuple[UploadedFile, ...]]:
    def is_alone(file: UploadedFile) -> bool:
        return file.stands_alone or (sizes is not None and file.size > sizes.of_file)

    yield from ((file,) for file in files if is_alone(file))
    chunk: list[UploadedFile] = []
    chunk_bytes = chunk_size = 0
    for file in (file for file in files if not is_alone(file)):
        # The entry and the comma or bracket before it; the closing bracket comes on top.
        entry_bytes = _longest_json(file.manifest_entry()) + 1
        is_full = len(chunk) == MAX_FILES_PER_LOAD or (
            sizes is not None and chunk_size + file.size > sizes.of_load
        )
        if chunk and (is_full or chunk_bytes + entry_bytes + 1 > MAX_MANIFEST_BYTES):
            yield tuple(chunk)
            chunk, chunk_bytes, chunk_size = [], 0, 0
        chunk.append(file)
        chunk_bytes += entry_bytes
        chunk_size += file.size
    if chunk:
        yield tuple(chunk)


def _compact_json(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _longest_json(document: object) -> int:
    """The length of a document as JSON that spells all but printable ASCII as `\\uXXXX`."""
    text = json.dumps(document, separators=(",", ":"))
    # A quote or backslash keeps its short escape; it is matched so that no half of it is.
    text = _SHORT_ESCAPE.sub(lambda it: it[0] if it[1] in '"\\' else r"\u0000", text)
    return len(text.replace("\x7f", r"\u007f"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _last_bytes(text: str, limit: int) -> str:
    """The longest end of `text` that has at most `limit` bytes in UTF-8."""
    return text.encode()[-limit:].decode(errors="ignore") if limit > 0 else ""


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedEventError("the time is not an ISO 8601 time with its zone") from None


def _decode_key(encoded: str) -> str:
    try:
        key = unquote_plus(encoded, errors="strict")
    except UnicodeDecodeError:
        raise MalformedEventError("the key is not UTF-8") from None
    _check_key(key)
    return key


def _check_key(key: str) -> None:
    key_bytes = len(key.encode())
    if not 0 < key_bytes <= MAX_KEY_BYTES:
        raise MalformedEventError(f"the key has {key_bytes} bytes, not 1 to {MAX_KEY_BYTES}")


def _size(parent: object) -> int:
    size = _member(parent, "size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
        raise MalformedEventError("size is not a number of bytes")
    return size


def _member(parent: object, name: str) -> object:
    if not isinstance(parent, Mapping) or name not in parent:
        raise MalformedEventError(f"{name} is missing")
    return parent[name]


def _text(parent: object, name: str) -> str:
    value = _member(parent, name)
    if not isinstance(value, str) or not value or not _is_utf8(value):
        raise MalformedEventError(f"{name} is not a text")
    return value


def _is_utf8(text: str) -> bool:
    """False for a half of a surrogate pair, which JSON can spell and no service takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text_or_empty(parent: object, name: str) -> str:
    return "" if _member(parent, name) == "" else _text(parent, name)


def _optional_text(parent: object, name: str) -> str:
    return _text_or_empty(parent, name) if isinstance(parent, Mapping) and name in parent else ""
