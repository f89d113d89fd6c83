from pathlib import Path

import pytest

from local.cloud import LaptopCloud
from tests.faults.laboratory import Laboratory


@pytest.fixture(scope="session")
def laboratory(cloud: LaptopCloud, build_folder: Path) -> Laboratory:
    """Shared by all tests of this folder: each leaves it quiet, and without violations."""
    return Laboratory.deploy(cloud, build_folder)
