import itertools
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from start_loads import core
from start_loads.ignored import matching_pattern

Upload = Callable[..., core.UploadedFile]
Record = Callable[..., dict[str, Any]]

KEY_OF_1024_BYTES = "raw/flights/" + "ä" * 504 + ".csv"


def new_intake() -> core.Intake:
    return core.Intake("raw-bucket", datetime(2026, 1, 1, tzinfo=UTC) + core.CLOCK_TOLERANCE)


def own(record: dict[str, Any]) -> dict[str, Any]:
    """The record, of the bucket that uploads of these tests lie in."""
    record["s3"]["bucket"]["name"] = "raw-bucket"
    return record


def manifest_bytes(load: core.Load) -> int:
    """The length of a load's manifest, all but printable ASCII spelt as \\uXXXX."""
    entries = [file.manifest_entry() for file in load.files]
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False)
    units = [text.encode("utf-16-be")[at : at + 2] for at in range(0, 2 * len(text), 2)]
    return sum(1 if b"\x00 " <= unit <= b"\x00~" else 6 for unit in units)


@pytest.mark.parametrize(
    ("changes", "file_id"),
    [
        pytest.param({}, "80bf3b29671fed891a98c0944fa677b8", id="by version"),
        pytest.param(
            {"version_id": ""}, "db5176ff38033ea590a8278a0cba0a96", id="by etag and sequencer"
        ),
    ],
)
def test_file_id_is_fixed(upload: Upload, changes: dict[str, Any], file_id: str) -> None:
    assert upload(**changes).file_id == file_id


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        pytest.param({"etag": "e2", "sequencer": "0056", "size": 11}, True, id="etag with version"),
        pytest.param({"uploaded_at": "2013-01-03T00:00:00Z"}, True, id="time"),
        pytest.param({"version_id": "v2"}, False, id="version"),
        pytest.param({"bucket": "other"}, False, id="bucket"),
        pytest.param({"key": "raw/flights/other.csv"}, False, id="key"),
        pytest.param({"version_id": ""}, False, id="no version"),
    ],
)
def test_file_id_names_the_object_version(
    upload: Upload, changes: dict[str, Any], is_same: bool
) -> None:
    assert (upload(**changes).file_id == upload().file_id) is is_same


def test_file_id_without_version_tells_sequencers_apart(upload: Upload) -> None:
    ids = {upload(version_id="", sequencer=s, etag=e).file_id for s in "12" for e in "12"}

    assert len(ids) == 4


def test_load_id_is_fixed(upload: Upload) -> None:
    loads = core.plan_loads([upload(), upload("raw/flights/next.csv")])

    assert [load.load_id for load in loads] == ["flights-78f293d1f15782b44a6bc328"]


@pytest.mark.parametrize(
    ("dataset", "slug"),
    [
        pytest.param("späti +1", "sp_ti__1", id="special characters"),
        pytest.param("x" * 200, "x" * 40, id="long"),
        pytest.param("日本", "__", id="nothing left"),
    ],
)
def test_every_attempt_has_a_valid_name(upload: Upload, dataset: str, slug: str) -> None:
    (load,) = core.plan_loads([upload(f"raw/{dataset}/day.csv")])

    run_ids = list(load.run_ids())

    assert run_ids[0] == load.load_id
    assert run_ids[1:3] == [f"{load.load_id}-2", f"{load.load_id}-3"]
    assert len(set(run_ids)) == core.MAX_ATTEMPTS
    assert load.load_id.rpartition("-")[0] == slug
    assert all(len(run_id) <= 80 for run_id in run_ids)


def test_input_is_the_same_bytes_in_any_order_with_any_repeats(upload: Upload) -> None:
    files = [upload(f"raw/flights/{day}.csv") for day in range(3)]
    repeat = upload("raw/flights/0.csv", uploaded_at="2013-01-02T05:00:00.000Z")

    inputs = {
        core.plan_loads(order)[0].to_input()
        for files_and_repeats in ([*files, repeat], [*files, *files, repeat])
        for order in itertools.islice(itertools.permutations(files_and_repeats), 200)
    }

    assert len(inputs) == 1


def test_input_holds_all_that_the_state_machine_reads(upload: Upload) -> None:
    (load,) = core.plan_loads([upload("raw/flights/späti +1/_day 1 (2).csv")])

    document = json.loads(load.to_input())

    file_id = load.files[0].file_id
    assert load.to_input() == json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert document == {
        "dataset": "flights",
        "load_id": load.load_id,
        "files": [
            {
                "file_id": file_id,
                "bucket": "raw-bucket",
                "key": "raw/flights/späti +1/_day 1 (2).csv",
                "version_id": "v1",
                "etag": "e1",
                "sequencer": "0055",
                "size": 10,
                "uploaded_at": "2013-01-02T04:00:00.000Z",
                "staged_name": f"{file_id}.csv",
                "archive_key": f"archive/flights/2013/01/02/{file_id}/_day 1 (2).csv",
            }
        ],
    }


def test_files_of_a_load_are_sorted(upload: Upload) -> None:
    (load,) = core.plan_loads(upload(f"raw/flights/{day}.csv") for day in range(50))

    assert list(load.files) == sorted(load.files, key=lambda file: file.file_id)


def test_datasets_are_loaded_apart(upload: Upload) -> None:
    loads = core.plan_loads(
        [upload("raw/weather/a.csv"), upload("raw/flights/a.csv"), upload("raw/weather/b.csv")]
    )

    assert [(load.dataset, len(load.files)) for load in loads] == [("flights", 1), ("weather", 2)]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        pytest.param(100, [100], id="exactly one load"),
        pytest.param(101, [100, 1], id="one too many"),
        pytest.param(250, [100, 100, 50], id="several loads"),
    ],
)
def test_a_load_has_at_most_100_files(upload: Upload, count: int, sizes: list[int]) -> None:
    loads = core.plan_loads(upload(f"raw/flights/{n}.csv") for n in range(count))

    assert [len(load.files) for load in loads] == sizes


def test_key_that_neither_sqs_nor_the_warehouse_takes_spoils_no_batch(upload: Upload) -> None:
    keys = ["raw/flights/a.csv", "raw/flights/bell\x07\t\r\n.csv"]
    unsendable = ["raw/flights/a\x00.csv", "raw/flights/b\ufffe.csv", "raw/flights/c\uffff.csv"]

    loads = core.plan_loads(upload(key=key) for key in [*keys, *unsendable])

    assert sorted(sorted(file.key for file in load.files) for load in loads) == sorted(
        [keys, *([key] for key in unsendable)]
    )


SIZES = core.Sizes(of_file=50, of_load=100)


@pytest.mark.parametrize(
    ("sizes", "loads"),
    [
        ([50, 50], 1),
        ([50, 50, 1], 2),
        ([40, 40, 40], 2),
        ([51, 10, 10], 2),
        ([51, 52, 200], 3),
        ([0, 50, 50, 0], 1),
    ],
)
def test_files_share_a_load_up_to_its_size_and_a_file_over_the_limit_shares_none(
    upload: Upload, sizes: list[int], loads: int
) -> None:
    uploads = [upload(f"raw/flights/{n}.csv", size=size) for n, size in enumerate(sizes)]

    planned = core.plan_loads(uploads, SIZES)

    assert len(planned) == loads
    assert sum(len(load.files) for load in planned) == len(sizes)
    for load in planned:
        of_files = [file.size for file in load.files]
        assert len(of_files) == 1 or (max(of_files) <= 50 and sum(of_files) <= 100)
    assert planned == core.plan_loads(reversed(uploads), SIZES)


def test_load_that_was_begun_under_other_limits_is_read_as_it_was(upload: Upload) -> None:
    load = core.Load(
        "flights", tuple(sorted([upload(size=900), upload(version_id="v2")], key=id_of))
    )

    assert core.read_load(json.loads(load.to_input())) == load


def id_of(file: core.UploadedFile) -> str:
    return file.file_id


def test_versions_of_one_key_are_loaded_together(upload: Upload) -> None:
    (load,) = core.plan_loads([upload(version_id="v1"), upload(version_id="v2")])

    assert {file.version_id for file in load.files} == {"v1", "v2"}


@pytest.mark.parametrize(
    "filler", [pytest.param("x", id="ascii"), pytest.param("日", id="three bytes a letter")]
)
def test_a_load_s_manifest_fills_but_keeps_its_limit(upload: Upload, filler: str) -> None:
    filling = filler * (990 // len(filler.encode()))
    loads = core.plan_loads(upload(f"raw/flights/{n:03}{filling}.csv") for n in range(100))

    assert sum(len(load.files) for load in loads) == 100
    assert all(manifest_bytes(load) <= core.MAX_MANIFEST_BYTES for load in loads)
    one_more = max(manifest_bytes(core.Load("", load.files[:1])) for load in loads)
    assert all(manifest_bytes(load) + one_more > core.MAX_MANIFEST_BYTES for load in loads[:-1])


def test_the_manifest_may_fill_its_limit_to_the_byte(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [upload(f"raw/flights/{day}.csv") for day in range(3)]
    (load,) = core.plan_loads(files)

    monkeypatch.setattr(core, "MAX_MANIFEST_BYTES", manifest_bytes(load))
    assert len(core.plan_loads(files)) == 1
    monkeypatch.setattr(core, "MAX_MANIFEST_BYTES", manifest_bytes(load) - 1)
    assert len(core.plan_loads(files)) == 2


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        pytest.param("ä", r"\u00e4", id="two bytes"),
        pytest.param("😀", r"\ud83d\ude00", id="a pair"),
        pytest.param("\n", r"\u000a", id="a newline"),
        pytest.param("\x7f", r"\u007f", id="delete"),
        pytest.param('"', r"\"", id="a quote"),
        pytest.param("\\n", r"\\n", id="a backslash"),
    ],
)
def test_the_longest_spelling_of_a_key_counts(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, name: str, spelling: str
) -> None:
    files = [upload(f"raw/flights/{day}.csv") for day in range(2)]
    odd = [upload(f"raw/flights/{day}{name}.csv") for day in range(2)]
    monkeypatch.setattr(
        core, "MAX_MANIFEST_BYTES", manifest_bytes(core.Load("", tuple(files))) + 2 * len(spelling)
    )

    assert len(core.plan_loads(odd)) == 1
    monkeypatch.setattr(core, "MAX_MANIFEST_BYTES", core.MAX_MANIFEST_BYTES - 1)
    assert len(core.plan_loads(odd)) == 2


@pytest.mark.parametrize(
    ("name", "suffixes"),
    [
        pytest.param("day.csv", ".csv", id="format"),
        pytest.param("day.csv.gz", ".csv.gz", id="format and compression"),
        pytest.param("DAY.CSV.GZ", ".csv.gz", id="upper case"),
        pytest.param("day.gz", ".gz", id="compression alone"),
        pytest.param("day", "", id="none"),
        pytest.param(".csv", ".csv", id="nothing but a suffix"),
        pytest.param("2013.01.02.csv", ".csv", id="dots in the name"),
        pytest.param("day.2013-01-02.gz", ".gz", id="a date is no format"),
        pytest.param("day.abcdefghijk", "", id="too long"),
        pytest.param("day.csv~", "", id="hidden from Spectrum"),
        pytest.param("day.", "", id="empty suffix"),
        pytest.param("day.csv/", ".csv", id="slash at the end"),
        pytest.param("day.ćsv", "", id="not ascii"),
    ],
)
def test_staged_name_keeps_plain_suffixes_only(upload: Upload, name: str, suffixes: str) -> None:
    file = upload(f"raw/flights/{name}")

    assert file.staged_name == file.file_id + suffixes


def test_archive_key_is_by_the_day_of_upload_in_utc(upload: Upload) -> None:
    file = upload(uploaded_at="2013-01-01T23:30:00-05:00")

    assert file.archive_key == f"archive/flights/2013/01/02/{file.file_id}/day.csv"


def test_archive_key_of_a_longest_key_keeps_the_end_of_its_name(upload: Upload) -> None:
    file = upload(KEY_OF_1024_BYTES)

    name = file.archive_key.rpartition("/")[2]
    reason_key = file.archive_key.replace("archive/", "quarantine/", 1) + ".reason.json"
    assert len(KEY_OF_1024_BYTES.encode()) == core.MAX_KEY_BYTES
    assert core.MAX_KEY_BYTES - 1 <= len(reason_key.encode()) <= core.MAX_KEY_BYTES
    assert set(name) == set("ä.csv")
    assert name.endswith("ä.csv")


@pytest.mark.parametrize(
    "key",
    [
        "raw/flights/a b.csv",
        "raw/flights/a+b.csv",
        "raw/flights/a%2Bb.csv",
        "raw/flights/a%20b.csv",
        "raw/flights/späti +1/_day 1 (2).csv",
        "raw/flights/日本/\U0001f6eb.csv",
        "raw/flights/line\nbreak\tand 'quotes' \"\\.csv",
        "raw/flights/a//b/../c.csv",
        KEY_OF_1024_BYTES,
    ],
)
def test_keys_are_decoded_once(record: Record, key: str) -> None:
    read = core.read_record(record(key))

    assert isinstance(read, core.UploadedFile)
    assert read.key == key


def test_record_without_version_or_sequencer_is_read(record: Record) -> None:
    read = core.read_record(record(versionId=None, sequencer=None))

    assert isinstance(read, core.UploadedFile)
    assert (read.version_id, read.sequencer) == ("", "")


def test_version_of_a_suspended_bucket_is_no_version(record: Record) -> None:
    read = core.read_record(record(versionId="null"))

    assert isinstance(read, core.UploadedFile)
    assert read.version_id == ""


@pytest.mark.parametrize(
    ("key", "changes", "reason"),
    [
        pytest.param("raw/flights/", {"size": 0}, "folder marker", id="folder marker"),
        pytest.param("raw/flights/2013/", {"size": 0}, "folder marker", id="deep folder marker"),
        pytest.param("raw/flights/day.csv", {"size": 0}, "no upload: it is empty", id="stub"),
        pytest.param("raw/day.csv", {}, "outside raw/", id="no dataset"),
        pytest.param("raw//day.csv", {}, "outside raw/", id="empty dataset"),
        pytest.param("raw/flights/", {}, "outside raw/", id="no name"),
        pytest.param("staging/flights/day.csv", {}, "outside raw/", id="other prefix"),
        pytest.param("rawer/flights/day.csv", {}, "outside raw/", id="longer prefix"),
        pytest.param("test/key", {}, "outside raw/", id="AWS's sample"),
        pytest.param(
            "raw/flights/day.csv",
            {"eventName": "ObjectRemoved:Delete"},
            "ObjectRemoved%3ADelete",
            id="removal",
        ),
    ],
)
def test_what_is_no_upload_is_skipped_with_its_reason(
    record: Record, key: str, changes: dict[str, Any], reason: str
) -> None:
    read = core.read_record(record(key, **changes))

    assert isinstance(read, core.SkippedRecord)
    assert read.key == key
    assert reason in read.reason


@pytest.mark.parametrize(
    "key",
    [
        "raw/flights/_temporary/0/a.csv",
        "raw/flights/2013/_temporary/0/_temporary/attempt_1/part-00000.csv.gz",
        "raw/flights/a.csv.filepart",
        "raw/flights/a.csv.FILEPART",
        "raw/flights/a.csv.part",
        "raw/flights/a.csv.tmp",
        "raw/flights/.a.csv.crc",
        "raw/flights/2013/_SUCCESS",
        "raw/flights/_committed_1",
        "raw/flights/_started_1",
        "raw/flights/x_$folder$",
        "raw/flights/.DS_Store",
        "raw/flights/__MACOSX/a.csv",
        "raw/flights/._a.csv",
        "raw/flights/Thumbs.db",
        "raw/flights/~$a.csv",
    ],
)
def test_senders_part_files_and_markers_are_no_uploads(record: Record, key: str) -> None:
    read = core.read_record(record(key))

    assert isinstance(read, core.SkippedRecord)
    assert read.metric == "UploadsIgnored"
    assert "no upload" in read.reason


@pytest.mark.parametrize(
    "key",
    [
        "raw/flights/_day.csv",
        "raw/flights/_2013/a.csv",
        "raw/flights/_success.csv",
        "raw/flights/.hidden.csv",
        "raw/flights/part-00000.csv",
        "raw/flights/a.part.csv",
        "raw/flights/a.tmp/day.csv",
        "raw/flights/_temporary",
        "raw/_temporary/day.csv",
        "raw/flights/attempt.csv",
    ],
)
def test_key_that_only_looks_like_one_loads(record: Record, key: str) -> None:
    assert isinstance(core.read_record(record(key)), core.UploadedFile)


@pytest.mark.parametrize(
    ("key", "pattern"),
    [
        ("raw/orders/a.bak", "*.bak"),
        ("raw/orders/2013/A.BAK", "*.bak"),
        ("raw/orders/drafts/1/a.csv", "drafts/"),
        ("raw/orders/drafts.csv", ""),
        ("raw/flights/a.bak", ""),
        ("raw/orders/a-b-c.csv", "a*b*c*"),
    ],
)
def test_dataset_adds_to_what_is_no_upload(key: str, pattern: str) -> None:
    assert matching_pattern(key, {"orders": ("a*b*c*", "*.bak", "drafts/")}) == pattern


def test_batch_that_was_begun_is_loaded_whatever_is_ignored_since(upload: Upload) -> None:
    [load] = core.plan_loads([upload("raw/flights/a.csv.tmp")])

    assert core.read_load(json.loads(load.to_input())) == load


def test_upload_is_one_under_whatever_spelling(record: Record) -> None:
    told = [core.read_record(record(eventName=f"{way}ObjectCreated:Put")) for way in ("", "s3:")]

    assert isinstance(told[0], core.UploadedFile)
    assert told[0] == told[1]


@pytest.mark.parametrize("key", ["raw/x.csv", "raw//flights/x.csv", "raw/flights/"])
def test_upload_that_goes_astray_is_counted(record: Record, key: str) -> None:
    read = core.read_record(record(key))

    assert isinstance(read, core.SkippedRecord)
    assert read.metric == "UploadsAstray"


@pytest.mark.parametrize("key", ["staging/flights/run_id=1/a.csv", "test/key", "rawer/x.csv"])
def test_key_of_another_prefix_concerns_nobody(record: Record, key: str) -> None:
    read = core.read_record(record(key))

    assert isinstance(read, core.SkippedRecord)
    assert read.metric == ""


EVENT = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "time": "2013-01-02T04:00:00Z",
    "detail": {"bucket": {"name": "b"}, "object": {"key": "raw/flights/a.csv", "size": 1}},
}


def in_sns(message: object) -> dict[str, Any]:
    return {"Type": "Notification", "Message": json.dumps(message)}


def test_event_by_eventbridge_is_read_through_sns_too() -> None:
    (direct,), _ = core.read_notification(EVENT)
    (through,), _ = core.read_notification(in_sns(EVENT))

    assert direct == through
    assert direct.key == "raw/flights/a.csv"


def test_event_of_a_deletion_is_skipped() -> None:
    uploads, [skipped] = core.read_notification({**EVENT, "detail-type": "Object Deleted"})

    assert uploads == []
    assert skipped.reason == "Object Deleted is no upload"


@pytest.mark.parametrize(
    "notification",
    [
        pytest.param({**EVENT, "source": "aws.states"}, id="another service's event"),
        pytest.param({**EVENT, "detail": {}}, id="event without an object"),
        pytest.param({**EVENT, "detail-type": 7}, id="event of no kind"),
        pytest.param({"Type": "Notification", "Message": "hello"}, id="SNS brings no JSON"),
        pytest.param({"Type": "Notification"}, id="SNS brings nothing"),
        pytest.param(in_sns("hello"), id="SNS brings a text"),
        pytest.param(in_sns(in_sns(in_sns(EVENT))), id="envelopes without end"),
        pytest.param({"Type": "SubscriptionConfirmation", "Token": "t"}, id="SNS asks"),
    ],
)
def test_what_is_no_notification_is_never_dropped(notification: dict[str, Any]) -> None:
    with pytest.raises(core.MalformedEventError):
        core.read_notification(notification)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"eventName": "PutObject"}, "PutObject", id="unknown event"),
        pytest.param({"eventSource": "aws:sns"}, "aws:s3", id="source"),
        pytest.param({"eventTime": "yesterday"}, "the time", id="time"),
        pytest.param({"eventTime": "2013-01-01T00:00:00"}, "the time", id="time without zone"),
        pytest.param({"eventTime": "0001-01-01T00:00:00+23:59"}, "the time", id="time before 1"),
        pytest.param({"size": None}, "size", id="no size"),
        pytest.param({"size": -1}, "size", id="negative size"),
        pytest.param({"size": True}, "size", id="size that is no number"),
        pytest.param({"key": None}, "key", id="no key"),
        pytest.param({"key": ""}, "key", id="empty key"),
        pytest.param({"key": "raw/flights/%ff.csv"}, "UTF-8", id="key not UTF-8"),
        pytest.param({"key": "raw/flights/\ud800.csv"}, "key", id="half a surrogate pair"),
        pytest.param({"key": "raw/flights/" + "x" * 1013}, "1025", id="key too long"),
        pytest.param({"versionId": 7}, "versionId", id="version that is no text"),
        pytest.param({"s3": "?"}, "bucket", id="no bucket"),
        pytest.param({"s3": None}, "s3", id="no s3"),
    ],
)
def test_malformed_record_is_named(record: Record, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(core.MalformedEventError, match=problem):
        core.read_record(record(**changes))


@pytest.mark.parametrize("notification", [None, [], "x", {}, {"Records": []}, {"Records": {}}])
def test_malformed_notification_is_refused(notification: object) -> None:
    with pytest.raises(core.MalformedEventError):
        core.read_notification(notification)


def given(*files: core.UploadedFile, **changes: Any) -> dict[str, Any]:
    """One batch, as it stands in a message."""
    entries = [{**asdict(file), "file_id": "made anew"} for file in files]
    return {"dataset": "flights", "files": entries} | changes


def test_given_load_is_read_as_the_one_it_was(upload: Upload) -> None:
    files = [upload(), upload("raw/flights/späti +1/b%.csv")]
    [load] = core.plan_loads(files)

    assert core.read_loads({"loads": [given(*files), given(upload())]}) == [
        load,
        *core.plan_loads([upload()]),
    ]
    assert core.read_load(json.loads(load.to_input())) == load


def test_given_file_needs_no_sequencer(upload: Upload) -> None:
    load = core.read_load(given(upload(sequencer="")))

    assert load.files[0].sequencer == ""
    assert load.files[0].file_id == upload().file_id


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        pytest.param({"loads": []}, "loads", id="no load"),
        pytest.param({"loads": {}}, "loads", id="loads that are no list"),
        pytest.param({"loads": ["x"]}, "dataset", id="load that is a text"),
        pytest.param({"loads": [{"files": []}]}, "dataset", id="no dataset"),
        pytest.param({"loads": [{"dataset": "flights"}]}, "files", id="no files"),
        pytest.param({"loads": [{"dataset": "flights", "files": {}}]}, "files", id="files no list"),
        pytest.param({"loads": [{"dataset": "flights", "files": []}]}, "0 files", id="no file"),
        pytest.param({"loads": [{"dataset": "x", "files": ["y"]}]}, "key", id="file that is text"),
    ],
)
def test_malformed_loads_are_refused(message: dict[str, Any], problem: str) -> None:
    with pytest.raises(core.MalformedEventError, match=problem):
        core.read_loads(message)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"key": "raw/other/day.csv"}, "not of the dataset", id="another dataset's"),
        pytest.param({"key": "elsewhere/day.csv"}, "outside raw/", id="outside raw/"),
        pytest.param({"key": "raw/flights/" + "x" * 1013}, "1025", id="key too long"),
        pytest.param({"key": 7}, "key", id="key that is no text"),
        pytest.param({"size": "7"}, "size", id="size that is no number"),
        pytest.param({"version_id": 7}, "version_id", id="version that is no text"),
        pytest.param({"uploaded_at": "yesterday"}, "time", id="no time"),
    ],
)
def test_malformed_given_file_is_refused(
    upload: Upload, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(core.MalformedEventError, match=problem):
        core.read_load(given(upload(**changes)))


@pytest.mark.parametrize("name", ["version_id", "etag", "sequencer"])
def test_given_file_lacks_no_field_that_names_it(upload: Upload, name: str) -> None:
    load = given(upload())
    del load["files"][0][name]

    with pytest.raises(core.MalformedEventError, match=f"{name} is missing"):
        core.read_load(load)


@pytest.mark.parametrize("value", [0, False, None, []])
@pytest.mark.parametrize("name", ["version_id", "etag", "sequencer"])
def test_given_file_is_named_by_texts_alone(upload: Upload, name: str, value: object) -> None:
    load = given(upload())
    load["files"][0][name] = value

    with pytest.raises(core.MalformedEventError, match=f"{name} is not a text"):
        core.read_load(load)


def test_message_of_loads_and_records_is_refused(upload: Upload, record: Record) -> None:
    with pytest.raises(core.MalformedEventError, match="both"):
        new_intake().add("m", {"loads": [given(upload())], "Records": [record()]})


def test_messages_of_a_load_are_those_that_asked_for_it(upload: Upload, record: Record) -> None:
    notified = own(record("raw/flights/b.csv"))
    a, b = upload("raw/flights/a.csv"), core.read_record(notified)
    assert isinstance(b, core.UploadedFile)
    intake = new_intake()
    intake.add("m0", {"loads": [given(a, b)]})
    intake.add("m1", {"loads": [given(a)]})
    intake.add("m2", {"Records": [notified]})
    intake.add("m3", {"loads": [given(b)]})

    by_keys = {
        "".join(sorted(file.key[-5] for file in load.files)): intake.messages_of(load)
        for load in intake.loads()
    }

    assert by_keys == {"ab": {"m0"}, "a": {"m1"}, "b": {"m2", "m3"}}


def test_record_of_a_version_that_has_a_sequencer_counts_before_one_without(
    upload: Upload,
) -> None:
    listed = upload(sequencer="", uploaded_at="2013-01-02T03:59:59.000Z")

    for order in ([upload(), listed], [listed, upload()]):
        [load] = core.plan_loads(order)
        assert load.files == (upload(),)


def test_given_load_that_could_not_have_been_made_is_refused(upload: Upload) -> None:
    too_many = [upload(version_id=f"v{number}") for number in range(101)]

    for files in ([upload(), upload()], too_many):
        with pytest.raises(core.MalformedEventError, match=f"{len(files)} files"):
            core.read_load(given(*files))


def test_given_loads_are_not_merged_with_notified_files(upload: Upload, record: Record) -> None:
    intake = new_intake()
    intake.add("m0", {"loads": [given(upload())]})
    intake.add("m1", {"Records": [own(record("raw/flights/other.csv"))]})
    intake.add("m2", {"loads": [given(upload())]})

    first, second = intake.loads()
    assert [[file.key for file in load.files] for load in (first, second)] == [
        ["raw/flights/day.csv"],
        ["raw/flights/other.csv"],
    ]
    assert intake.messages_of(first) == {"m0", "m2"}
    assert intake.messages_of(second) == {"m1"}


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        ("RUNNING", "", True),
        ("SUCCEEDED", '{"status": "loaded"}', True),
        ("SUCCEEDED", '"text"', True),
        ("PENDING_REDRIVE", "", True),
        ("SUCCEEDED", '{"status": "split"}', False),
        ("FAILED", "", False),
        ("TIMED_OUT", "", False),
        ("ABORTED", "", False),
    ],
)
def test_only_a_load_that_failed_or_was_split_makes_way_for_another(
    upload: Upload, status: str, output: str, expected: bool
) -> None:
    [load] = core.plan_loads([upload()])
    execution = {"status": status, "output": output, "input": load.to_input()}

    assert core.is_duplicate(load, execution) is expected


@pytest.mark.parametrize(
    "crafted",
    [
        pytest.param("{}", id="nothing"),
        pytest.param("[" * 100_000, id="brackets"),
        pytest.param('{"files": ["x"]}', id="no files"),
        pytest.param(lambda d: d.update(dataset="weather"), id="dataset"),
        pytest.param(lambda d: d.update(load_id="flights-1"), id="load_id"),
        pytest.param(lambda d: d.update(files=[]), id="no file"),
        *(
            pytest.param(lambda d, name=name: d["files"][0].update({name: "x"}), id=name)
            for name in ("bucket", "key", "version_id", "etag", "size", "file_id", "staged_name")
        ),
    ],
)
def test_execution_under_a_load_s_name_with_another_input_is_no_duplicate(
    upload: Upload, crafted: Any
) -> None:
    [load] = core.plan_loads([upload()])
    document = json.loads(load.to_input())
    if callable(crafted):
        crafted(document)
        crafted = json.dumps(document)

    assert not core.is_duplicate(load, {"status": "RUNNING", "input": crafted})


def test_rerun_and_the_sweeper_s_words_for_the_same_version_are_duplicates(
    upload: Upload,
) -> None:
    [load] = core.plan_loads([upload()])
    [listed] = core.plan_loads([upload(sequencer="", uploaded_at="2013-01-02T03:59:59.000Z")])
    rerun = json.dumps({"is_rerun": True, **json.loads(listed.to_input())})

    assert core.is_duplicate(load, {"status": "RUNNING", "input": rerun})


def test_message_about_another_bucket_or_of_a_time_to_come_is_refused(
    upload: Upload, record: Record
) -> None:
    intake = new_intake()
    later = "2026-01-01T00:15:00.001Z"

    for message, reason in [
        ({"loads": [given(upload(bucket="neighbour"))]}, "neighbour is not the pipeline's bucket"),
        ({"Records": [record()]}, "redshift-pipeline-raw.* is not the pipeline's bucket"),
        ({"loads": [given(upload(uploaded_at=later))]}, "lies in the future"),
        ({"Records": [own(record()), own(record(eventTime=later))]}, "lies in the future"),
    ]:
        with pytest.raises(core.MalformedEventError, match=reason):
            intake.add("m", message)
    assert intake.uploads == []
    assert intake.given_loads == {}
    intake.add("m", {"Records": [own(record(eventTime="2026-01-01T00:15:00.000Z"))]})
    assert len(intake.loads()) == 1
