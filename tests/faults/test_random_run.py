"""A few random lives of a pipeline, the same ones each time; `make soak` has more."""

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.faults.datasets import DATASETS
from tests.faults.laboratory import Laboratory
from tests.faults.random_run import Tally, run_at_random


@pytest.fixture
def shared(stack_of_two: Stack) -> Iterator[Laboratory]:
    """The stack of all tests, which is to be as empty afterwards as before."""
    laboratory = Laboratory.of(stack_of_two, DATASETS)
    yield laboratory
    laboratory.reset()


def test_random_run(shared: Laboratory) -> None:
    tally = Tally()

    run_at_random(shared, 1, tally, runs=2)

    assert tally.counts["upload"]
