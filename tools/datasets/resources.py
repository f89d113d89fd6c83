"""A dataset's part of template.yaml: its Glue table, and the alarm for files that stay away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.datasets.reading import Folder
from tools.datasets.rendering import LINE, SURPLUS, TEMPLATES
from tools.datasets.spec import Csv, Dataset, JsonLines, Orc

BEGIN = "  # >>> datasets: written by `make datasets` from sql/datasets/*/dataset.yaml"
END = "  # <<< datasets"

TEXT_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
TEXT_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"


# What Spectrum makes of rows that do not fit the table: its defaults are not documented. A short
# row ends in NULLs, which the load rejects; what is no text, or longer than a column holds, fails
# the file.
HANDLING = {
    "data_cleansing_enabled": "true",
    "column_count_mismatch_handling": "SET_TO_NULL",
    "invalid_char_handling": "FAIL",
    "surplus_char_handling": "FAIL",
}
# Without an escape character a backslash is taken for it. No text holds a DEL, which XML, and so
# CloudFormation, takes as it is.
NO_ESCAPE = "\x7f"


class MarkersMissingError(ValueError):
    """template.yaml has no place for the datasets."""


@dataclass(frozen=True)
class Storage:
    """How Glue says that files are read."""

    serde: str
    parameters: dict[str, str]
    input_format: str = TEXT_INPUT
    output_format: str = TEXT_OUTPUT


CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
# Fields end at ^A, the default: JSON escapes every control character, so that a line is one field.
LINES = Storage("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", {})
ORC = Storage(
    "org.apache.hadoop.hive.ql.io.orc.OrcSerde",
    {},
    "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat",
    "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat",
)
PARQUET = Storage(
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    {},
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
)


def with_datasets(template: str, folders: Sequence[Folder]) -> str:
    """The text of template.yaml with these datasets between its markers.

    Raises MarkersMissingError.
    """
    before, begin, rest = template.partition(BEGIN + "\n")
    _, end, after = rest.partition(END + "\n")
    if not begin or not end:
        raise MarkersMissingError(f"template.yaml lacks the line {(BEGIN if not begin else END)!r}")
    block = TEMPLATES.get_template("resources.yaml.j2").render(
        datasets=[_described(folder) for folder in folders]
    )
    return f"{before}{BEGIN}\n{block.lstrip(chr(10))}\n{END}\n{after}"


def _described(folder: Folder) -> dict[str, Any]:
    dataset = folder.dataset
    return {
        "name": folder.name,
        "id": "".join(word.capitalize() for word in folder.name.split("_")),
        "description": dataset.description,
        "freshness_hours": dataset.freshness_hours,
        "parameters": _parameters(folder.name, dataset),
        "storage": _storage(dataset),
        "columns": list(_columns(dataset)),
    }


def _parameters(name: str, dataset: Dataset) -> dict[str, str]:
    return {
        "EXTERNAL": "TRUE",
        "classification": "json" if isinstance(dataset.format, JsonLines) else dataset.format.type,
        **HANDLING,
        "load_procedure": f"load_{name}",
        "same_key": dataset.same_key,
    }


def _storage(dataset: Dataset) -> Storage:
    if isinstance(dataset.format, Csv):
        return Storage(
            CSV,
            {
                "separatorChar": dataset.format.delimiter,
                "quoteChar": dataset.format.quote,
                "escapeChar": NO_ESCAPE,
            },
        )
    if isinstance(dataset.format, JsonLines):
        return LINES
    return ORC if isinstance(dataset.format, Orc) else PARQUET


def _columns(dataset: Dataset) -> list[tuple[str, str]]:
    """(name, type): text is cast by the load procedure, which counts what cannot be cast."""
    if isinstance(dataset.format, JsonLines):
        return [(LINE, "string")]
    if not isinstance(dataset.format, Csv):
        # Found in the file by their names.
        return [(column.heading, column.stored or "string") for column in dataset.columns]
    # What a row has behind its last column shows in the surplus one.
    return [*((column.name, "string") for column in dataset.columns), (SURPLUS, "string")]
