"""No code names a dataset: what needs one takes it from the folders of sql/datasets."""

import re
from pathlib import Path

import pytest

from tools.datasets.resources import BEGIN, END

ROOT = Path(__file__).parents[3]
DATASETS = sorted(spec.parent.name for spec in (ROOT / "sql/datasets").glob("*/dataset.yaml"))
FOLDERS = ("functions", "statemachine", "sql", "local", "laptop_cloud", "pipeline", "tools",
           "delivery", ".github")  # fmt: skip
FILES = ("Makefile", "*.yaml", "*.toml", "requirements*")
CODE = {"", ".py", ".sql", ".j2", ".yaml", ".yml", ".toml", ".json", ".md", ".in", ".txt"}
# What may name one, and why.
ALLOWED = {
    "sql/datasets": "a dataset's own folder, and what is written from it",
    "requirements-year.in": "the name of the package that the examples come from",
    "requirements-year.txt": "the name of the package that the examples come from",
}


def files() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    found += [path for pattern in FILES for path in ROOT.glob(pattern)]
    return [
        path
        for path in sorted(found)
        if path.is_file()
        and path.suffix in CODE
        and "__pycache__" not in path.parts
        and not any(path.is_relative_to(ROOT / allowed) for allowed in ALLOWED)
    ]


def names(text: str) -> list[str]:
    """The lines that name a dataset, but for the part of a template that is written."""
    before, _, rest = text.partition(BEGIN)
    text = before + rest.partition(END)[2]
    word = re.compile(rf"(?<![a-z])({'|'.join(DATASETS)})(?![a-z])")
    return [line.strip() for line in text.splitlines() if word.search(line)]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_code_names_no_dataset(path: Path) -> None:
    assert names(path.read_text(encoding="utf-8")) == []


def test_allowed_place_exists() -> None:
    for place in ALLOWED:
        assert (ROOT / place).exists()
