"""docs/first-day.md, its commands run in its order on the laptop, as far as the laptop has them."""

import shlex
import subprocess
from pathlib import Path

import pytest

from local import deploy
from local.stack import Stack
from tests import commands
from tests.deployed_pipeline import Pipeline
from tests.operating import wait_until

pytestmark = pytest.mark.long

PAGE = deploy.PROJECT / "docs" / "first-day.md"
# What the laptop has nobody to answer to, or another test runs: the commands that begin so are
# parsed only, by tests/template/test_commands.py.
NOT_HERE = (
    "make setup",
    "make deploy",
    # It runs until it is stopped.
    "make up",
    # These go by samconfig.toml's stack; test_delivery.py and test_verify.py run them.
    "make smoke",
    "make verify",
    "export",
    "aws cloudformation describe-events",
    "aws redshift",
    "aws lakeformation",
    "aws ssm",
)


class Shell:
    """Runs the page's commands against the laptop cloud, with what they name put in."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._known = {**stack.outputs, "address": "support@example.com"}
        self.ran: list[str] = []

    def run(self, command: str) -> str:
        """What it prints. Fails with what it says if it fails."""
        for name in commands.placeholders(command):
            command = command.replace(f"<{name}>", self._known[name])
        command = command.replace("redshift-pipeline-dev", self._stack.name)
        if command.startswith("make preflight"):
            command += f' ARGS="--stack-name {self._stack.name}"'
        binaries = Path(deploy.PROJECT, ".venv", "bin")
        environment = self._stack.cloud.environment()
        environment["PATH"] = f"{binaries}:{environment['PATH']}"
        done = subprocess.run(
            shlex.split(command),
            cwd=deploy.PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        self.ran.append(command)
        return done.stdout

    def wait_until_finished(self, command: str) -> None:
        """Run what describes a statement until that has ended well."""
        wait_until(lambda: "FINISHED" in self.run(command))

    def knows(self, name: str, value: str) -> None:
        self._known[name] = value


def test_first_day_works_as_it_is_told(pipeline: Pipeline) -> None:
    shell = Shell(pipeline.stack)
    printed: dict[str, str] = {}
    for command in commands.of_blocks(PAGE):
        if command.startswith("aws redshift-data describe-statement"):
            shell.wait_until_finished(command)
        elif not command.startswith(NOT_HERE) or command.startswith("aws redshift-data"):
            answer = printed[command] = shell.run(command)
            if command.startswith("aws redshift-data execute-statement"):
                shell.knows("the id", answer.strip())
            if command.startswith("aws s3 cp"):
                wait_until(lambda: pipeline.keys("Archive", "archive/flights/"))

    programs = {tuple(command.split()[:2]) for command in shell.ran}
    assert {("aws", service) for service in ("sns", "s3", "stepfunctions")} <= programs
    [rows] = [text for c, text in printed.items() if "get-statement-result" in c]
    assert "JFK" in rows
    assert "null" not in rows
