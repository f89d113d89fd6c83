"""A deployed stack, what is done to it, what keeps it going, and who looks."""

from dataclasses import dataclass
from pathlib import Path

from local import deploy
from local.cloud import LaptopCloud
from local.stack import Stack
from tests import datasets
from tests.faults.datasets import DATASETS, READINGS
from tests.faults.invariants import World
from tests.faults.observed import Observer
from tests.faults.operation import Operation

STACK_NAME = "faults"


@dataclass(frozen=True)
class Laboratory:
    """A stack of its own: what is done to it here, and what comes of it, is nobody else's."""

    stack: Stack
    world: World
    observer: Observer
    operation: Operation

    @classmethod
    def deploy(cls, cloud: LaptopCloud, build_folder: Path) -> "Laboratory":
        stack = deploy.deploy(cloud, STACK_NAME, build_folder, {"BatchWindowSeconds": "0"})
        datasets.install(stack, READINGS.name)
        observer = Observer(stack, DATASETS)
        return cls(stack, World(stack, DATASETS), observer, Operation(stack, observer))

    def violations(self) -> list[str]:
        return self.world.violations(self.observer.look())
