from collections.abc import Iterator

import pytest

from tests import datasets
from tests.deployed_pipeline import Pipeline
from tests.faults.inject import Injector
from tests.faults.world import World


@pytest.fixture(scope="session")
def with_readings(deployed: Pipeline) -> Pipeline:
    """The deployed system, with the tests' own dataset in it."""
    datasets.install(deployed.stack, "readings")
    return deployed


@pytest.fixture
def world(with_readings: Pipeline) -> Iterator[World]:
    with_readings.empty()
    yield World(with_readings)
    with_readings.empty()


@pytest.fixture
def injector(world: World) -> Iterator[Injector]:
    injector = Injector(world.pipeline.stack)
    yield injector
    injector.stop()
