import bz2
import gzip

import pytest

from local.serde import FormatError, Handling, OpenCsv, decompressed, line_blocks

CLEANSED = {"data_cleansing_enabled": "true"}
DEL = "\x7f"


def copied(
    data: bytes,
    width: int = 3,
    skip: int = 0,
    properties: dict[str, str] | None = None,
    key: str = "a.csv",
    **parameters: str,
) -> list[list[str]]:
    handling = Handling.from_properties(properties or {})
    serde = OpenCsv.from_parameters(width, parameters, handling).of(key)
    text = b"".join(serde.copy_rows(block, ["more"]) for block in line_blocks([data], skip))
    return [line.split("\t") for line in text.decode().split("\n")[:-1]]


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        (b"a,b,c", ["a", "b", "c"]),
        (b"a,,", ["a", "", ""]),
        (b"a,b", ["a", "b", "\\N"]),
        (b"a,b,c,d", ["a", "b", "c"]),
        (b"", ["\\N", "\\N", "\\N"]),
        (b'"a,b","c ""d""",""', ["a,b", 'c "d"', ""]),
        (b'"a","b"', ["a", "b", "\\N"]),
        (b"a\tb,c,d", ["a\\tb", "c", "d"]),
        (b"a\\b,c,d", ["ab", "c", "d"]),
        (rb'"a\"b","c\\d",e', ['a"b', "c\\\\d", "e"]),
        (b'abc"d"ef,b,c', ['abc"d"ef', "b", "c"]),
        (b'a,b,"open', ["a", "b", "\\N"]),
        ("späti,b,c".encode(), ["späti", "b", "c"]),
    ],
)
def test_a_line_becomes_the_columns_of_open_csv(line: bytes, columns: list[str]) -> None:
    assert copied(line + b"\n") == [[*columns, "more"]]
    # The same beside lines that need no care, and lines that need all of it.
    mixed = copied(b"x,y,z\n" + line + b'\n"q",a\\b,c\n')
    assert mixed[1] == [*columns, "more"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_lines_end_as_in_hadoop_wherever_the_chunks_end(end: bytes, chunk: int) -> None:
    data = end.join([b"h,h", b"1,2", b'"3",4'])
    chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    assert b"".join(line_blocks(chunks)) == b'h,h\n1,2\n"3",4\n'
    assert b"".join(line_blocks(chunks, skip=1)) == b'1,2\n"3",4\n'


def test_a_file_of_nothing_or_of_a_skipped_header_has_no_rows() -> None:
    assert copied(b"") == []
    assert copied(b"a,b,c\n", skip=1) == []
    assert copied(b"a,b,c", skip=1) == []


def test_other_separators_and_quotes() -> None:
    assert copied(b"a;'b;c';d\n", separatorChar=";", quoteChar="'") == [["a", "b;c", "d", "more"]]
    assert copied(b"a\tb\tc\n", separatorChar="\t") == [["a", "b", "c", "more"]]


def test_backslash_is_data_where_another_character_escapes() -> None:
    line = rb'\N,"a\b","c \"' + b"\n"

    assert copied(line, escapeChar=DEL) == [["\\\\N", "a\\\\b", "c \\\\", "more"]]
    assert copied(line) != copied(line, escapeChar=DEL)


COLUMNS = "column_count_mismatch_handling"


@pytest.mark.parametrize("line", [b"a,b", b"a,b,c,d", b""])
@pytest.mark.parametrize("action", ["FAIL", "DROP_ROW"])
def test_rows_of_another_width_fail_or_go_as_the_table_says(line: bytes, action: str) -> None:
    data = b"1,2,3\n" + line + b"\n"
    properties = {**CLEANSED, COLUMNS: action}

    if action == "DROP_ROW":
        assert copied(data, properties=properties) == [["1", "2", "3", "more"]]
    else:
        with pytest.raises(FormatError, match="Unmatched number of columns"):
            copied(data, properties=properties)
    # It holds for plain text, and where handling is switched on.
    assert len(copied(data, properties=properties, key="a.csv.gz")) == 2
    assert len(copied(data, properties={COLUMNS: action})) == 2


@pytest.mark.parametrize("line", [b"a,b", b"a", b"", b"a,b,c,d"])
@pytest.mark.parametrize("action", ["SET_TO_NULL", "DISABLED", "FAIL", "DROP_ROW"])
def test_rows_that_are_all_of_one_width_are_read_as_those_beside_others(
    line: bytes, action: str
) -> None:
    properties = {**CLEANSED, COLUMNS: action}
    whole = b"1,2,3\n"

    if action == "FAIL":
        with pytest.raises(FormatError, match="Unmatched number of columns"):
            copied(line + b"\n", properties=properties)
    else:
        alone = copied((line + b"\n") * 2, properties=properties)
        assert alone * 2 == copied((line + b"\n") * 4 + whole, properties=properties)[:-1]


@pytest.mark.parametrize("beside", [b"", b'"",2,3\n'])
def test_value_of_more_than_64_kilobytes_is_null_or_fails_as_the_table_says(beside: bytes) -> None:
    longest, longer = b"x" * 65_535, "ä".encode() * 32_768
    data = beside + longest + b",b,c\n" + longer + b",b,c\n"

    assert [row[0][:1] for row in copied(data)[-2:]] == ["x", "\\"]
    with pytest.raises(FormatError, match="longer than the length defined"):
        copied(data, properties={**CLEANSED, "surplus_char_handling": "FAIL"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("column_count_mismatch_handling", "IGNORE"),
        ("colum_count_mismatch_handling", "FAIL"),
        ("invalid_char_handling", "REPLACE"),
        ("surplus_char_handling", "TRUNCATE"),
        ("data_cleansing_enabled", "TRUE"),
        ("serialization.null.format", "NA"),
        ("compression_type", "none"),
    ],
)
def test_properties_that_are_not_documented_or_not_done_are_refused(name: str, value: str) -> None:
    with pytest.raises(FormatError, match=value):
        Handling.from_properties({**CLEANSED, name: value})


@pytest.mark.parametrize(
    "parameters",
    [{"wholeFile": "true"}, {"separatorChar": '"'}, {"separatorChar": "||"}, {"quoteChar": "\\"}],
)
def test_parameters_that_open_csv_refuses(parameters: dict[str, str]) -> None:
    with pytest.raises(FormatError):
        OpenCsv.from_parameters(3, parameters)


@pytest.mark.parametrize("data", [b"a,\xff,c\n", b'"a",\xff,c\n', b"a,b\0,c\n"])
def test_bytes_that_are_no_text_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        copied(data)


def test_a_row_of_more_than_4_mb_is_refused() -> None:
    with pytest.raises(FormatError, match="4 MB"):
        list(line_blocks([b"x" * 1_000_000] * 5))


@pytest.mark.parametrize(("compress", "key"), [(gzip.compress, "a.GZ"), (bz2.compress, "a.bz2")])
def test_compression_goes_by_extension_and_takes_several_members(compress, key: str) -> None:
    data = compress(b"a" * 5_000_000) + compress(b"b")
    chunks = [data[at : at + 100] for at in range(0, len(data), 100)]
    assert b"".join(decompressed(chunks, key)) == b"a" * 5_000_000 + b"b"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(b"abc" * 1000, mtime=0)[:-8] + b"damaged!", "incorrect data check"),
        (gzip.compress(b"abc" * 1000, mtime=0)[:-1], "unexpected end of file"),
        (b"no gzip at all", "incorrect header check"),
    ],
)
def test_damaged_gzip_is_an_error(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        list(decompressed([data], "a.csv.gz"))


@pytest.mark.parametrize("key", ["a.csv.snappy", "a.zst", "a.zip"])
def test_other_compressions_are_refused(key: str) -> None:
    with pytest.raises(FormatError, match="does not read"):
        decompressed([b""], key)
