"""The real `sam local invoke` sends each file of events/ to the function as it was built."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from local import sam_local
from local.deploy import PROJECT
from tests.operating import wait_until

pytestmark = pytest.mark.docker

EVENTS = sorted(
    str(path.relative_to(sam_local.EVENTS)) for path in sam_local.EVENTS.rglob("*.json")
)
PAGE = (sam_local.EVENTS / "README.md").read_text()
PRINTED = dict(re.findall(r"^\| `(\S+\.json)` \| `(.+?)` \|", PAGE, re.MULTILINE))
EXAMPLE = "start_loads/s3_notification.json"
# The event whose outcome an event is about.
EARLIER = {
    "measure_loads/load_ended.json": EXAMPLE,
    "rotate_secret/finish.json": "rotate_secret/create.json",
}
LOAD_TIMEOUT_SECONDS = 120


class LaptopCloud:
    """`python -m local up --sam-local`, and what it says to copy into another terminal."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local", "up", "--port=0", "--warehouse-port=0", "--sam-local"],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = self._listen_until_ready()
        exports = re.findall(r"(AWS_\w+)=(\S+)", self.said)
        self.environment = {**os.environ, **dict(exports)}
        [command] = re.findall(r"\S*sam local invoke .*", self.said)
        self.command = shlex.split(command)
        self.printed = cache(self._invoke)

    def _listen_until_ready(self) -> str:
        assert self.process.stdout
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if line == "ready\n":
                return "".join(lines)
        raise AssertionError("".join(lines))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=self.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def event(self, name: str) -> Any:
        return json.loads((PROJECT / sam_local.FOLDER / "events" / name).read_text())

    def _invoke(self, event: str) -> str:
        """What `sam local invoke` prints, with the command that was said for an example."""
        function = "".join(map(str.title, Path(event).parent.name.split("_"))) + "Function"
        words = [
            function if word == "StartLoadsFunction" else word.replace(EXAMPLE, event)
            for word in self.command
        ]
        assert event in " ".join(words)
        done = subprocess.run(
            [*words, *pulling(words)],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"{Path(event).parent.name}.handler.handler (python3.13)" in done.stderr
        return done.stdout.strip()


def pulling(words: list[str]) -> list[str]:
    """SAM's option for a computer that has the runtime's image, and may reach no registry."""
    processor = "x86_64" if "Architecture=x86_64" in words else "arm64"
    image = f"reference=*/lambda/python:3.13-{processor}"
    command = ["docker", "images", "--quiet", "--filter", image]
    has_image = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return ["--skip-pull-image"] if has_image else []


@pytest.fixture(scope="module")
def laptop() -> Iterator[LaptopCloud]:
    laptop = LaptopCloud()
    yield laptop
    laptop.stop()


def has_ended(laptop: LaptopCloud, execution_arn: str) -> bool:
    states = laptop.client("stepfunctions")
    return bool(states.describe_execution(executionArn=execution_arn)["status"] != "RUNNING")


@pytest.mark.parametrize("event", EVENTS)
def test_event_prints_what_the_page_says(laptop: LaptopCloud, event: str) -> None:
    if event in EARLIER:
        laptop.printed(EARLIER[event])
    if event.startswith("measure_loads/"):
        arn = laptop.event(event)["detail"]["executionArn"]
        wait_until(lambda: has_ended(laptop, arn), LOAD_TIMEOUT_SECONDS)

    printed = laptop.printed(event)

    pattern = re.escape(PRINTED[event]).replace("…", ".*")
    assert re.fullmatch(pattern, printed), printed


@pytest.mark.parametrize("event", [name for name in EVENTS if name.startswith("apply_sql/")])
def test_custom_resource_is_answered(laptop: LaptopCloud, event: str) -> None:
    laptop.printed(event)

    answer = laptop.client("s3").get_object(Bucket=sam_local.ANSWERS_BUCKET, Key=event)["Body"]
    assert json.loads(answer.read())["Status"] == "SUCCESS"


def test_rotation_is_finished(laptop: LaptopCloud) -> None:
    laptop.printed("rotate_secret/create.json")
    laptop.printed("rotate_secret/finish.json")

    request = laptop.event("rotate_secret/finish.json")
    secret = laptop.client("secretsmanager").describe_secret(SecretId=request["SecretId"])
    assert "AWSCURRENT" in secret["VersionIdsToStages"][request["ClientRequestToken"]]
