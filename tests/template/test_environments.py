"""samconfig.toml: environments differ in what must differ, and in nothing else."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from tools import names

ROOT = Path(__file__).parents[2]
SAMCONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
DEPLOY = {name: SAMCONFIG[name]["deploy"]["parameters"] for name in ("dev", "prod")}
DIFFER = {"stack_name", "tags"}


def test_environments_differ_in_name_and_tags_alone() -> None:
    dev, prod = DEPLOY["dev"], DEPLOY["prod"]

    assert dev.keys() == prod.keys()
    assert {key for key in dev if dev[key] != prod[key]} == DIFFER


@pytest.mark.parametrize("environment", DEPLOY)
def test_environment_deploys_as_the_default_does(environment: str) -> None:
    own = {key: value for key, value in DEPLOY[environment].items() if key not in DIFFER}

    assert own == SAMCONFIG["default"]["deploy"]["parameters"]


@pytest.mark.parametrize("environment", ["default", *DEPLOY])
def test_stack_has_a_name_that_its_resources_can_bear(environment: str) -> None:
    parameters = SAMCONFIG[environment].get("global", SAMCONFIG[environment]["deploy"])[
        "parameters"
    ]

    assert names.problem(parameters["stack_name"]) == ""


@pytest.mark.parametrize("target", ["deploy", "changes"])
def test_preflight_comes_before_the_build(target: str) -> None:
    command = ["make", "--dry-run", target, "ENV=dev"]
    plan = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert 0 < plan.index("tools.preflight --quick --env 'dev'") < plan.index("sam build")
