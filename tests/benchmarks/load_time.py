"""How long a load takes in the laptop's warehouse: `make bench-load ARGS="--files 100"`.

A load of flights files against its floor: a plain `insert … select` of the same rows, each column
cast to its type, over the same partition of the external table. Both run in turn, in one session
each, and are rolled back, so that every run finds the same. The ratio says what it costs to judge
rows, count files and keep a ledger; seconds are those of a laptop and say nothing of Redshift.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg

from local import deploy, spectrum
from local.cloud import LaptopCloud
from tests.conftest import STACK_NAME, WAIT_SCALE
from tests.faults.datasets import FLIGHTS
from tests.sql.loading import Loading, load_of
from tools.datasets.reading import Folder, read_folder

ROOT = Path(__file__).parents[2]
WEEK = ROOT / "examples/flights"
Run = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-load", description=__doc__)
    parser.add_argument("--files", type=int, default=100, help="how many, in one load (100)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (5)")
    parser.add_argument(
        "--folder", type=Path, default=WEEK, help="whose CSVs are taken in turn (examples/flights)"
    )
    asked = parser.parse_args()
    with LaptopCloud(wait_scale=WAIT_SCALE) as cloud:
        stack = deploy.deploy(cloud, STACK_NAME, deploy.build(cloud), {})
        load, floor = runs(Loading(stack, FLIGHTS), bodies(asked.folder, asked.files))
        print(report(measured({"load": load, "floor": floor}, asked.repeats)))


def bodies(folder: Path, count: int) -> list[bytes]:
    """As many files, those of the folder in turn."""
    paths = sorted(folder.glob("*.csv"))
    return [paths[number % len(paths)].read_bytes() for number in range(count)]


def runs(loading: Loading, files: Iterable[bytes]) -> tuple[Run, Run]:
    """The load of these files, and its floor."""
    versions = [
        loading.version(number, name=f"{number}.csv", body=body)
        for number, body in enumerate(files)
    ]
    load = load_of(*versions)
    run_id = loading.staged(load, versions)
    entries = [file.manifest_entry() for file in load.files]

    def whole_load() -> None:
        with loading.session() as connection, connection.transaction(force_rollback=True):
            answer = loading.call_in(connection, run_id, load.load_id, entries)
            assert answer.files_loaded == len(versions), answer

    def floor() -> None:
        spectrum.refresh(loading.stack.warehouse)
        with (
            loading.session("AdminSecretArn") as connection,
            connection.transaction(force_rollback=True),
        ):
            insert_with_casts(connection, read_folder(ROOT / "sql/datasets/flights"), run_id)

    return whole_load, floor


def insert_with_casts(connection: psycopg.Connection, folder: Folder, run_id: str) -> None:
    """Every column of the rows in its type, the header left out; nothing is judged."""
    columns = folder.dataset.columns
    values = [f"cast(nullif({column.name}, 'NA') as {column.sql_type})" for column in columns]
    types = [f"{column.name} {column.sql_type}" for column in columns]
    header = columns[0]
    connection.execute(f"create temp table floor ({', '.join(types)})".encode())
    connection.execute(
        f"insert into floor select {', '.join(values)} from lake.{folder.name}"
        f" where run_id = %s and {header.name} <> '{header.heading}'".encode(),
        (run_id,),
    )


def measured(named: dict[str, Run], repeats: int) -> dict[str, list[float]]:
    """Seconds of each run by its name; in turn, so that a busy moment is everybody's."""
    seconds: dict[str, list[float]] = {name: [] for name in named}
    for run in named.values():
        run()
    for _ in range(repeats):
        for name, run in named.items():
            started_at = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started_at)
    return seconds


def report(seconds: dict[str, list[float]]) -> str:
    """Medians with least and greatest, and ratios to the last, turn by turn."""
    *_, base = seconds
    lines = []
    for name, found in seconds.items():
        ratios = [one / other for one, other in zip(found, seconds[base], strict=True)]
        lines.append(f"{name:8} {_spread(found, ' s')}   to {base}: {_spread(ratios)}")
    return "\n".join(lines)


def _spread(values: list[float], unit: str = "") -> str:
    return f"{statistics.median(values):.2f}{unit} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
