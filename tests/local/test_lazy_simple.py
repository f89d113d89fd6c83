import pytest

from local.lazy_simple import LazySimple
from local.serde import FormatError, Handling, line_blocks

CLEANSED = {"data_cleansing_enabled": "true"}


def copied(
    data: bytes, width: int = 1, properties: dict[str, str] | None = None, **parameters: str
) -> list[list[str]]:
    serde = LazySimple.from_parameters(
        width, parameters, Handling.from_properties(properties or {})
    ).of("a.jsonl")
    text = b"".join(serde.copy_rows(block, ["more"]) for block in line_blocks([data]))
    return [line.split("\t") for line in text.decode().split("\n")[:-1]]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b'{"a": "b,c"}', '{"a": "b,c"}'),
        (rb'{"a": "\"\n\\"}', r'{"a": "\\"\\n\\\\"}'),
        (b'{"a":\t1}', '{"a":\\t1}'),
        (b"", ""),
        (b"\\N", "\\N"),
        ("ä\u2028".encode(), "ä\u2028"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_without_delimiter_is_one_value(line: bytes, value: str, end: bytes) -> None:
    assert copied(line + end) == [[value, "more"]]


def test_columns_are_missing_dropped_or_split_at_the_delimiter() -> None:
    data = b"a|b|c\nd\n"

    assert copied(data, 2, **{"field.delim": "|"}) == [["a", "b", "more"], ["d", "\\N", "more"]]
    assert copied(b"a\x01b\n", 2) == [["a", "b", "more"]]


def test_line_that_no_column_holds_is_null_or_fails_as_the_table_says() -> None:
    data = b"x" * 65_536 + b"\n" + b"y" * 65_535 + b"\n"

    assert [row[0][:2] for row in copied(data)] == ["\\N", "yy"]
    with pytest.raises(FormatError, match="longer than the length defined"):
        copied(data, properties={**CLEANSED, "surplus_char_handling": "FAIL"})


@pytest.mark.parametrize("data", [b"a\0b\n", b"\xff\n"])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"NUL|UTF-8"):
        copied(data)


@pytest.mark.parametrize(
    "parameters",
    [{"serialization.null.format": "NULL"}, {"escape.delim": "\\"}, {"field.delim": "||"}],
)
def test_parameters_that_are_not_done_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(FormatError, match=next(iter(parameters))):
        copied(b"a\n", **parameters)
