"""The laptop cloud that all tests share, and the product deployed to it once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local import deploy
from local.cloud import LaptopCloud
from local.stack import Stack
from tests import datasets
from tests.deployed_pipeline import Pipeline

WAIT_SCALE = 0.05
STACK_NAME = "redshift-pipeline"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-examples",
        action="store_true",
        help="make what the example cases give what is expected of them",
    )


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopCloud]:
    # Before the cloud, which takes its temporary files with it, moves the folder for them.
    tmp_path_factory.getbasetemp()
    with LaptopCloud(wait_scale=WAIT_SCALE) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def build_folder(cloud: LaptopCloud) -> Path:
    return deploy.build(cloud)


@pytest.fixture(scope="session")
def deployed_stack(cloud: LaptopCloud, build_folder: Path) -> Stack:
    return deploy.deploy(cloud, STACK_NAME, build_folder, {"BatchWindowSeconds": "1"})


@pytest.fixture(scope="session")
def stack_of_two(deployed_stack: Stack) -> Stack:
    """The same stack, with a second dataset, to which each version of a key adds."""
    datasets.install(deployed_stack, "readings")
    return deployed_stack


@pytest.fixture(scope="session")
def stack(deployed_stack: Stack) -> dict[str, str]:
    """The deployed product's outputs by name."""
    return deployed_stack.outputs


@pytest.fixture(scope="session")
def deployed(deployed_stack: Stack) -> Pipeline:
    return Pipeline(deployed_stack)


@pytest.fixture
def pipeline(deployed: Pipeline) -> Iterator[Pipeline]:
    deployed.overlook()
    yield deployed
    deployed.empty()
