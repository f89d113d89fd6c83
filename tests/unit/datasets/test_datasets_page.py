"""docs/datasets.md knows every key, and its first dataset works as it stands."""

import re
from pathlib import Path

import pytest

from local.dialect import split, translate
from tools.datasets import spec
from tools.datasets.reading import read_folder
from tools.datasets.rendering import Rendering

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
SECTIONS = {
    spec.Dataset: "### The dataset",
    spec.Column: "### A column",
    spec.Derived: "### A derived column",
    spec.Table: "### A table",
    spec.Measure: "### A measure",
    spec.Csv: "### `type: csv`",
}
KEYS = [(model, key) for model in SECTIONS for key in model.model_fields if key != "type"]


def section(heading: str) -> str:
    """The text below a heading, to the next."""
    return re.split(r"^##", PAGE.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize(
    ("model", "key"), KEYS, ids=[f"{model.__name__}.{key}" for model, key in KEYS]
)
def test_page_has_the_key_with_its_meaning(model: type[spec.Model], key: str) -> None:
    text = section(SECTIONS[model])

    assert f"`{key}`" in text
    if model is not spec.Derived:
        [row] = [line for line in text.split("\n") if re.match(rf"\| [^|]*`{key}`", line)]
        assert f"{key}: " in row, "no example"


def test_page_has_no_key_that_is_none() -> None:
    for model, heading in SECTIONS.items():
        named = re.findall(r"^\| ((?:`[a-z_]+`,? ?)+) \|", section(heading), re.MULTILINE)
        keys = {key for cell in named for key in re.findall(r"`([a-z_]+)`", cell)}
        assert keys - {"count"} <= set(model.model_fields), heading


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "orc"])
def test_page_has_the_format(kind: str) -> None:
    assert f"`type: {kind}`" in PAGE


def test_first_dataset_of_the_page_is_written_and_passes_the_gate(tmp_path: Path) -> None:
    found = re.search(r"<<'YAML'\n(.*?)\nYAML\n", PAGE, re.DOTALL)
    assert found
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders/dataset.yaml").write_text(found[1], encoding="utf-8")

    for text in Rendering(read_folder(tmp_path / "orders")).files().values():
        for statement in split(text):
            translate(statement)
