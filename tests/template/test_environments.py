"""samconfig.toml: environments differ in what must differ, and in nothing else."""

import tomllib
from pathlib import Path

import pytest

SAMCONFIG = tomllib.loads((Path(__file__).parents[2] / "samconfig.toml").read_text())
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
