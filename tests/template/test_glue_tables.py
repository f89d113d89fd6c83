"""What loads rely on when Spectrum reads a file is said: its defaults are not documented."""

from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from local.serde import HANDLING_PROPERTIES, Handling

ROOT = Path(__file__).parents[2]
OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
TABLES: dict[str, dict[str, Any]] = {
    name: body["Properties"]["TableInput"]
    for name, body in yaml_parse((ROOT / "template.yaml").read_text())["Resources"].items()
    if body["Type"] == "AWS::Glue::Table"
}
CSV_TABLES = [
    name
    for name, table in TABLES.items()
    if table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"] == OPEN_CSV
]

# Source: Amazon Redshift, CREATE EXTERNAL TABLE, TABLE PROPERTIES. Each with the actions under
# which no row is lost or changed without a load's hearing of it.
RELIED_ON = {
    # A short row's last column is NULL, which rejects the row; failing would refuse its whole file.
    "column_count_mismatch_handling": {"SET_TO_NULL"},
    # Every other action puts something else in the place of what was sent.
    "invalid_char_handling": {"FAIL"},
    "surplus_char_handling": {"FAIL"},
}
# What would keep rows, headers or values from a load.
NOT_SET = {"skip.header.line.count", "serialization.null.format", "compression_type"}


def test_tables_were_found() -> None:
    assert "FlightsTable" in CSV_TABLES


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> dict[str, Any]:
    return TABLES[request.param]


def test_handling_is_switched_on(table: dict[str, Any]) -> None:
    assert table["Parameters"]["data_cleansing_enabled"] == "true"


@pytest.mark.parametrize("name", RELIED_ON)
def test_table_says_what_becomes_of_what_does_not_fit(table: dict[str, Any], name: str) -> None:
    assert table["Parameters"].get(name) in RELIED_ON[name]


def test_table_has_documented_properties_alone(table: dict[str, Any]) -> None:
    handling = {name for name in table["Parameters"] if name.endswith("_handling")}

    assert handling <= set(HANDLING_PROPERTIES)
    assert not NOT_SET & set(table["Parameters"])
    Handling.from_properties(table["Parameters"])


@pytest.mark.parametrize("name", CSV_TABLES)
def test_backslash_is_data(name: str) -> None:
    # The SerDe takes the first character; where it is the double quote, which is its own default,
    # it goes on with the backslash. Source: Apache Hive, OpenCSVSerde.newReader; opencsv 2.3,
    # CSVParser. A control character is in no text, and XML 1.0 forbids those below a blank.
    serde = TABLES[name]["StorageDescriptor"]["SerdeInfo"]

    characters = [serde["Parameters"][f"{name}Char"] for name in ("separator", "quote", "escape")]

    assert [len(character) for character in characters] == [1, 1, 1]
    assert len(set(characters)) == 3
    escape = characters[2]
    assert escape not in ('"', "\\")
    assert escape.isascii()
    assert not escape.isprintable()
    assert escape > " "
