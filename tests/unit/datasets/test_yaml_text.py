"""YAML as version 1.2 reads it, and where its parts stand."""

import pytest

from tools.datasets.text import TextError, read


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-1", -1),
        ("1.5", 1.5),
        ("2013-01-01", "2013-01-01"),
        ("2013-01-01 10:00:00", "2013-01-01 10:00:00"),
        ("=", "="),
        ('"12"', "12"),
        ("'no'", "no"),
    ],
)
def test_plain_scalar_is_what_yaml_1_2_takes_it_for(scalar: str, value: object) -> None:
    content = read(f"key: {scalar}\n").content["key"]

    assert (content, type(content)) == (value, type(value))


@pytest.mark.parametrize("key", ["null", "true", "false", "no", "12"])
def test_key_is_the_text_that_stands_there(key: str) -> None:
    assert read(f"{key}: 1\n").content == {key: 1}


def test_each_part_knows_its_line() -> None:
    document = read("a: 1\nb:\n  - c: 2\n  - {d: 3,\n     e: 4}\n")

    assert document.line(("a",)) == 1
    assert document.line(("b", 0, "c")) == 3
    assert document.line(("b", 1, "e")) == 5
    # What is missing stands where it is missing from.
    assert document.line(("b", 1, "f", "g")) == 4


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\na: 2\n", 2, '"a" is given twice'),
        ("a:\n  b: 1\n  b: 2\n", 3, '"b" is given twice'),
        ("a: [1\n", 2, "expected"),
        ("a: 1\n\tb: 2\n", 2, "cannot start any token"),
        ("a: 1\n---\nb: 2\n", 2, "but found another document"),
        ("a: !!python/name:os.system x\n", 1, "could not determine a constructor"),
    ],
)
def test_wrong_text_is_refused_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(TextError, match=problem) as caught:
        read(text)

    assert caught.value.line == line
