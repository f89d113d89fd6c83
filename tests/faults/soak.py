"""Random runs for as long as is asked for: `make soak ARGS="--minutes 60 --seed 7"`."""

import argparse
import time

from local import deploy
from local.cloud import LaptopCloud
from tests.conftest import WAIT_SCALE
from tests.faults.laboratory import Laboratory
from tests.faults.random_run import RUNS_PER_SEED, RunFailedError, Tally, run_at_random


def main() -> int:
    """Seeds from the first on until the time is up or an invariant is violated; 1 if one was."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (1)")
    asked = parser.parse_args()
    with LaptopCloud(wait_scale=WAIT_SCALE) as cloud:
        laboratory = Laboratory.deploy(cloud, deploy.build(cloud))
        return soak(laboratory, asked.seed, time.monotonic() + 60 * asked.minutes)


def soak(laboratory: Laboratory, seed: int, until: float) -> int:
    total = Tally()
    first = seed
    try:
        while time.monotonic() < until:
            tally = Tally()
            try:
                run_at_random(laboratory, seed, tally, RUNS_PER_SEED)
            finally:
                total.counts += tally.counts
                print(f"seed {seed}: {_said(tally)}", flush=True)
            seed += 1
    except RunFailedError as error:
        print(f"FAILED at seed {seed}, after {_said(total)}\n{error}")
        return 1
    print(f"seeds {first} to {seed - 1}, no violation: {_said(total)}")
    return 0


def _said(tally: Tally) -> str:
    return ", ".join(f"{count} {name}" for name, count in tally.counts.most_common())


if __name__ == "__main__":
    raise SystemExit(main())
