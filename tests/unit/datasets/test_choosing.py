"""Which dataset and file a tool takes that needs any."""

import shutil
from pathlib import Path

import pytest

from tools.datasets.choosing import NoneFitsError, example, first

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("flights", "planes", "weather"):
        shutil.copytree(ROOT / "sql/datasets" / name, tmp_path / "sql/datasets" / name)
    return tmp_path


def test_each_tool_takes_the_first_by_name(project: Path) -> None:
    assert first(project=project).name == "flights"
    assert first("parquet", project).name == "planes"
    with pytest.raises(NoneFitsError, match="no dataset of the format orc"):
        first("orc", project)


def test_example_is_a_file_of_which_every_row_counts(project: Path) -> None:
    folder = project / "sql/datasets/flights/examples"
    assert example(project=project).path == folder / "corrected_file/in/1/flights_2013-01-01.csv"
    (folder / "corrected_file/rejected.csv").write_text("file,line,reason,value\n")
    assert example(project=project).path == folder / "two_days/in/flights_2013-01-01.csv"


def test_example_of_files_that_add_up_is_taken_by_its_name_alone(project: Path) -> None:
    for name in ("flights", "planes"):
        shutil.rmtree(project / "sql/datasets" / name)
    with pytest.raises(NoneFitsError, match="a dataset with same_key: replace"):
        example(project=project)
