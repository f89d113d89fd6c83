"""A few random lives of a pipeline, the same ones each time; `make soak` has more."""

from tests.faults.laboratory import Laboratory
from tests.faults.random_run import Tally, run_at_random


def test_random_run(laboratory: Laboratory) -> None:
    tally = Tally()

    run_at_random(laboratory, 1, tally, runs=2)

    assert tally.counts["upload"]
