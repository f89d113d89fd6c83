"""Whatever a key is, it loads, is passed over or goes astray: one of the three."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from start_loads import core
from start_loads.ignored import IGNORED, matching_pattern

Record = Callable[..., dict[str, Any]]

letters = st.characters(codec="utf-8", exclude_characters="/\0")
parts = st.text(letters, min_size=1, max_size=12)
names = parts.map(lambda part: f"{part}.csv").filter(lambda name: not ignored(name))
folders = st.lists(parts.filter(lambda part: not ignored(f"{part}/")), max_size=3)
FOLDERS = [pattern for pattern in IGNORED if pattern.endswith("/")]
NAMES = [pattern for pattern in IGNORED if not pattern.endswith("/")]
anything = settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def ignored(part: str) -> bool:
    """Whether a folder, which ends in a slash, or a name is on the list."""
    folder, slash, _ = part.partition("/")
    key = f"raw/flights/{folder}/a.csv" if slash else f"raw/flights/{part}"
    return bool(matching_pattern(key))


def spelled(draw: st.DrawFn, pattern: str) -> str:
    """A name of the pattern, in letters of any size."""
    text = "".join(draw(parts) if letter == "*" else letter for letter in pattern)
    return "".join(draw(st.sampled_from([letter.upper(), letter.lower()])) for letter in text)


@st.composite
def keys_of_no_uploads(draw: st.DrawFn) -> str:
    """A part file or marker, or anything in a folder of such, at any depth."""
    path = draw(folders)
    if draw(st.booleans()):
        return "/".join(["raw/flights", *path, spelled(draw, draw(st.sampled_from(NAMES)))])
    folder = spelled(draw, draw(st.sampled_from(FOLDERS)).removesuffix("/"))
    return "/".join(["raw/flights", *path, folder, *draw(folders), draw(parts)])


@anything
@given(key=keys_of_no_uploads())
def test_what_senders_write_on_the_way_is_no_upload(record: Record, key: str) -> None:
    read = core.read_record(record(key))

    assert isinstance(read, core.SkippedRecord)
    assert (read.key, read.metric) == (key, "UploadsIgnored")


@anything
@given(path=folders, name=names)
def test_any_other_name_loads_under_its_key(record: Record, path: list[str], name: str) -> None:
    key = "/".join(["raw/flights", *path, name])
    read = core.read_record(record(key))

    assert isinstance(read, core.UploadedFile)
    assert read.key == key


@anything
@given(
    rest=st.one_of(parts, parts.map(lambda name: f"/{name}"), parts.map(lambda name: f"{name}/"))
)
def test_key_without_a_dataset_or_a_name_goes_astray(record: Record, rest: str) -> None:
    read = core.read_record(record(f"raw/{rest}"))

    assert isinstance(read, core.SkippedRecord)
    assert read.metric == "UploadsAstray"


@pytest.mark.parametrize("pattern", IGNORED)
def test_each_pattern_is_of_the_list(pattern: str) -> None:
    assert ignored(pattern.replace("*", "x"))
