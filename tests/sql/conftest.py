"""The deployed procedures, with a dataset for each rule on further versions of a key."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from local.stack import Stack
from tests import datasets
from tests.faults.datasets import FLIGHTS, READINGS
from tests.sql.loading import Loading


@pytest.fixture(scope="session")
def loadings(stack_of_two: Stack) -> dict[str, Loading]:
    """By dataset. The warehouse is the one that all tests share."""
    return {dataset.name: Loading(stack_of_two, dataset) for dataset in (READINGS, FLIGHTS)}


@pytest.fixture
def readings(loadings: dict[str, Loading]) -> Iterator[Loading]:
    """A dataset to which each version of a key adds."""
    yield loadings["readings"]
    loadings["readings"].empty()


@pytest.fixture
def flights(loadings: dict[str, Loading]) -> Iterator[Loading]:
    """A dataset of which each key's newest version counts."""
    yield loadings["flights"]
    loadings["flights"].empty()


@pytest.fixture(params=["readings", "flights"])
def loading(request: pytest.FixtureRequest) -> Loading:
    """A dataset of each rule."""
    found: Loading = request.getfixturevalue(request.param)
    return found


def _further(stack: Stack, name: str) -> Loading:
    """A dataset of the tests' own, of which tests give the files."""
    datasets.install(stack, name)
    return Loading(stack, replace(READINGS, name=name))


@pytest.fixture(scope="session")
def installed_cells(deployed_stack: Stack) -> Loading:
    return _further(deployed_stack, "cells")


@pytest.fixture
def cells(installed_cells: Loading) -> Iterator[Loading]:
    """Rows as they are; of its columns the last was added later."""
    yield installed_cells
    installed_cells.empty()


@pytest.fixture(scope="session")
def installed_extremes(deployed_stack: Stack) -> Loading:
    return _further(deployed_stack, "extremes")


@pytest.fixture
def extremes(installed_extremes: Loading) -> Iterator[Loading]:
    """Every measure over every kind of number."""
    yield installed_extremes
    installed_extremes.empty()
