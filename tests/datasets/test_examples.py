"""Each example case of each dataset, through the dataset's own procedure."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import Stack
from tests import datasets
from tests.datasets import examples
from tests.datasets.examples import Case
from tests.datasets.loads import Loads
from tools.datasets.reading import read_folder

ROOT = Path(__file__).parents[2]
CASES = examples.cases(ROOT / "sql/datasets", datasets.FOLDER)


@pytest.fixture(scope="module")
def installed(stack_of_two: Stack) -> set[Path]:
    """The datasets that the warehouse has."""
    return {*(ROOT / "sql/datasets").iterdir(), datasets.FOLDER / "readings"}


@pytest.fixture
def loads(
    request: pytest.FixtureRequest, stack_of_two: Stack, installed: set[Path]
) -> Iterator[Loads]:
    folder = read_folder(request.getfixturevalue("case").dataset)
    if folder.path not in installed:
        datasets.install_folder(stack_of_two, folder)
        installed.add(folder.path)
    loads = Loads(stack_of_two, folder)
    loads.loading.empty()
    yield loads
    loads.loading.empty()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_example_gives_what_it_says(case: Case, loads: Loads, pytestconfig: pytest.Config) -> None:
    files = case.files()
    assert files, f"{case.path}/in has no file"
    found = examples.outcome(loads, files)
    if pytestconfig.getoption("--write-examples"):
        examples.write(case, found)

    difference = examples.difference(case.expected(), found)
    assert not difference, f"{case.path} (- expected, + found):\n{difference}"
