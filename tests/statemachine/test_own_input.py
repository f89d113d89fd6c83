"""The load machine takes what StartLoadsFunction makes of uploads, and nothing else."""

import copy
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonata
import pytest
from start_loads.core import Load, UploadedFile, plan_loads

from tests.statemachine.test_definition import STATES

[CHOICE] = STATES["load-IsInputOwn"]["Choices"]
BUCKET = "pipeline-raw-123456789012-eu-west-1"
Input = dict[str, Any]


def upload(key: str, version: str = "v1", **fields: Any) -> UploadedFile:
    known = {"etag": "e", "sequencer": "0A", "size": 5, "uploaded_at": "2013-01-02T04:00:00.000Z"}
    return UploadedFile(**{"bucket": BUCKET, "key": key, "version_id": version, **known, **fields})


def iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def is_own(document: Any, name: str = "") -> bool:
    text = CHOICE["Condition"].strip().removeprefix("{%").removesuffix("%}")
    expression = jsonata.Jsonata(text.replace("${RawBucketName}", BUCKET))
    expression.register_lambda("hash", lambda text, _: hashlib.sha256(text.encode()).hexdigest())
    execution = {"Input": document, "Name": name or document["load_id"]}
    expression.assign("states", {"context": {"Execution": execution}})
    return bool(expression.evaluate(None))


KEYS = [
    "raw/flights/flights_2013-01-01.csv",
    "raw/flights/2013/a.CSV.GZ",
    "raw/flights/a.gz.gz.gz",
    "raw/flights/a.tar.x_y.gz",
    "raw/flights/a.csv\n",
    "raw/flights/.gz",
    "raw/flights/noname",
    "raw/flights/a//",
    "raw/flights/a\"b\\c'\b\f\n\r\t\x00\x1f\x7f.csv",
    "raw/flights/ä€\uffff\U0001f600\U0010ffff中.csv",
    "raw/flights/\u212a.csv\u0130",
    "raw/flights/" + "ä" * 500,
    "raw/$(x) ä\U0001f600" + "y" * 60 + "/" + "z" * 900 + ".csv",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("version", ["v1", 'ä"\\', ""])
def test_what_start_loads_makes_of_any_key_is_taken(key: str, version: str) -> None:
    [load] = plan_loads([upload(key, version)])
    document = json.loads(load.to_input())

    assert is_own(document)
    assert is_own(document, f"{load.load_id}-2")
    assert is_own({**document, "is_rerun": True}, f"{load.load_id}-rerun")


def test_load_of_a_hundred_files_is_taken() -> None:
    [load] = plan_loads(upload(f"raw/flights/{number}.csv") for number in range(100))

    assert is_own(json.loads(load.to_input()))


def test_time_a_little_ahead_is_taken() -> None:
    soon = iso(datetime.now(UTC) + timedelta(minutes=10))
    [load] = plan_loads([upload("raw/flights/a.csv", uploaded_at=soon)])

    assert is_own(json.loads(load.to_input()))


def changed(**fields: Any) -> Callable[[Input], None]:
    def change(document: Input) -> None:
        document["files"][0].update(fields)

    return change


def renamed(document: Input) -> None:
    """A file that calls itself another one, in a load that is right about that."""
    document["files"] = document["files"][:1]
    document["files"][0]["file_id"] = "f" * 32
    names = json.dumps(["f" * 32])
    document["load_id"] = f"flights-{hashlib.sha256(names.encode()).hexdigest()[:24]}"


def replaced(**fields: Any) -> Callable[[Input], None]:
    return lambda document: document.update(fields)


def of(**fields: Any) -> Callable[[Input], None]:
    """An input that is at one with itself, of an upload that there cannot be."""
    [load] = plan_loads([upload("raw/flights/a.csv", **fields)])

    def change(document: Input) -> None:
        document.clear()
        document.update(json.loads(load.to_input()))

    return change


CRAFTED: dict[str, Callable[[Input], Any]] = {
    "another's file_id": renamed,
    "another file's file_id": lambda d: changed(file_id=d["files"][1]["file_id"])(d),
    "another's key": changed(key="raw/flights/other.csv"),
    "another version": changed(version_id="v9"),
    "another bucket": of(bucket="neighbour"),
    "another dataset's key": changed(key="raw/weather/a.csv"),
    "another dataset": replaced(dataset="weather"),
    "an archive object of others": changed(archive_key="archive/weather/2013/01/02/0/a.csv"),
    "outside the archive": changed(archive_key="incidents/2026-01-01T00/x.json"),
    "another day's archive": lambda d: changed(
        archive_key=d["files"][0]["archive_key"].replace("/2013/", "/2014/")
    )(d),
    "another name in the archive": lambda d: changed(
        archive_key=d["files"][0]["archive_key"] + ".reason.json"
    )(d),
    "another file's copy in staging": lambda d: changed(staged_name=d["files"][1]["staged_name"])(
        d
    ),
    "another format": lambda d: changed(staged_name=d["files"][0]["staged_name"] + ".gz")(d),
    "a path in staging": lambda d: changed(staged_name=f"../{d['files'][0]['staged_name']}")(d),
    "another load": replaced(load_id="flights-" + "0" * 24),
    "a command for a load": replaced(load_id="$(touch x)"),
    "a file left out": lambda d: d["files"].pop(),
    "a file twice": lambda d: d["files"].append(d["files"][0]),
    "no files": replaced(files=[]),
    "files that are none": replaced(files=["x"]),
    "files that are no list": replaced(files={"key": "x"}),
    "no dataset": lambda d: d.pop("dataset"),
    "no key": lambda d: d["files"][0].pop("key"),
    "a number for a key": changed(key=5),
    "a time to come": of(uploaded_at=iso(datetime.now(UTC) + timedelta(days=1))),
    "the last of times": of(uploaded_at="9999-12-31T23:59:59.000Z"),
    "no time": changed(uploaded_at="yesterday"),
    "a time that is none": changed(uploaded_at="2013-01-02T25:00:00.000Z"),
    "a size that is none": changed(size="x"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_input_is_refused(name: str) -> None:
    [load] = plan_loads([upload("raw/flights/a.csv"), upload("raw/flights/b.csv")])
    document = json.loads(load.to_input())
    crafted = copy.deepcopy(document)
    CRAFTED[name](crafted)

    assert crafted != document
    assert is_own(document)
    assert not is_own(crafted, load.load_id)
    assert not is_own(crafted, str(crafted.get("load_id")))


@pytest.mark.parametrize("document", [{}, [], "x", 5, None, {"load_id": 5, "files": [{}]}])
def test_what_is_no_input_is_refused(document: Any) -> None:
    assert not is_own(document, "x")


@pytest.mark.parametrize("name", ["another", "x-{load_id}", "{load_id}x", "{load_id}-'x'"])
def test_execution_has_the_name_of_its_load(name: str) -> None:
    [load] = plan_loads([upload("raw/flights/a.csv")])

    assert not is_own(json.loads(load.to_input()), name.format(load_id=load.load_id))


def test_load_that_is_given_by_hand_is_the_same() -> None:
    file = upload("raw/flights/a.csv")

    assert is_own(json.loads(Load("flights", (file,)).to_input()))
