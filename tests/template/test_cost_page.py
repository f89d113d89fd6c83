"""docs/cost.md is what tools/cost.py computes, from what the template and the code say today."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from start_loads import core as start_loads

from tests.security.grants import RESOURCES
from tools import cost, prices

ROOT = Path(__file__).parents[2]
EVENLY = cost.Arrivals("evenly", window_seconds=10)
LOAD = yaml.safe_load((ROOT / "statemachine" / "load.asl.yaml").read_text())["States"]


def test_page_is_of_today() -> None:
    assert (ROOT / "docs" / "cost.md").read_text() == cost.page(), "run `make cost`"


def test_dashboard_reckons_with_the_same_price() -> None:
    body = json.dumps(RESOURCES["Dashboard"]["Properties"]["DashboardBody"])
    [price] = set(re.findall(r"rpu / 3600 \* ([\d.]+)", body))

    assert float(price) == prices.usd("redshift_rpu_hour")
    assert f"USD at {price} an RPU-hour (us-east-1)" in body


def test_loads_hold_as_many_files_as_the_code_lets_them() -> None:
    assert cost.FILES_PER_LOAD == start_loads.MAX_FILES_PER_LOAD


def test_polls_are_those_of_the_machine() -> None:
    assert LOAD["SubmitLoad"]["Assign"]["wait_seconds"] == 1
    assert "$min([2 * $wait_seconds, 30])" in LOAD["WaitForLoad"]["Assign"]["wait_seconds"]

    assert [cost.polls(seconds) for seconds in (0.5, 1, 1.5, 20, 61, 62)] == [1, 1, 2, 5, 6, 7]


@pytest.mark.parametrize(
    ("arrivals", "files", "loads", "awake"),
    [
        (cost.HOURLY, 10, 10, 10 * 60),
        (cost.HOURLY, 2_400, 24, 24 * 60),
        (cost.HOURLY, 24 * 450, 24 * 5, 24 * 100),
        (EVENLY, 100, 100, 100 * 60),
        (EVENLY, 4_320, 4_320, 86_400),
        (EVENLY, 86_400, 8_640, 86_400),
    ],
)
def test_loads_and_waking_time(
    arrivals: cost.Arrivals, files: int, loads: float, awake: float
) -> None:
    assert arrivals.loads(files) == pytest.approx(loads)
    assert arrivals.awake_seconds(files) == pytest.approx(awake)


def test_each_price_is_used_and_names_its_page() -> None:
    used = (ROOT / "tools" / "cost.py").read_text() + (ROOT / "tools" / "destroy.py").read_text()
    known = tomllib.loads((ROOT / "tools" / "prices.toml").read_text())["prices"]
    for name, price in known.items():
        assert f'usd("{name}")' in used or f"usd('{name}')" in used, name
        assert price["page"].startswith("https://aws.amazon.com/")
        assert price["usd"] > 0
