"""An interrupt at any phase leaves no process and no file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.deploy import PROJECT

pytestmark = pytest.mark.long


class Program:
    """`python -m local` with its own folder for temporary files."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local", *arguments],
            cwd=PROJECT,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def descendants(self) -> dict[int, str]:
        """The command lines, by process id, of all that the program has started."""
        listing = subprocess.run(
            ["ps", "-axww", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True
        ).stdout
        found: dict[int, str] = {}
        parents = {self.process.pid}
        for line in sorted(listing.splitlines(), key=lambda row: int(row.split()[0])):
            pid, parent, command = line.split(None, 2)
            if int(parent) in parents:
                parents.add(int(pid))
                found[int(pid)] = command
        return found

    def wait_for(self, sign: Callable[[dict[int, str]], bool], seconds: float = 150) -> None:
        deadline = time.monotonic() + seconds
        while not sign(self.descendants()):
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < deadline, self.descendants()
            time.sleep(0.05)

    def interrupt(self, number: signal.Signals) -> tuple[int, set[int]]:
        """Signal the program; return its exit code, and what it started that still runs."""
        before = self.descendants()
        self.process.send_signal(number)
        self.process.communicate(timeout=90)
        return self.process.returncode, {pid for pid in before if is_running(pid)}


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended, and that nobody has asked about, does not."""
    state = subprocess.run(
        ["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.startswith("Z")


def runs(*words: str) -> Callable[[dict[int, str]], bool]:
    return lambda commands: any(all(w in line for w in words) for line in commands.values())


PHASES = {
    "start": lambda commands: True,
    "sam build": runs("sam", " build ", "--build-dir"),
    "pip in sam build": runs("pip install", "--platform"),
    "sam deploy": runs("sam", " deploy ", "--stack-name"),
    "warehouse starts": runs("postgres"),
    "function applies SQL": runs("_worker.py"),
}


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def start(*arguments: str) -> Program:
        programs.append(Program(tmp_path, *arguments))
        return programs[-1]

    yield start
    for program in programs:
        program.process.kill()
        program.process.wait()


@pytest.mark.parametrize("phase", PHASES)
def test_interrupt_leaves_nothing(phase: str, launch: Callable[..., Program]) -> None:
    program = launch("up", "--port", "0", "--warehouse-port", "0")
    if phase == "start":
        time.sleep(3)  # its handlers are in place by then, on a busy machine too
    program.wait_for(PHASES[phase])

    code, left = program.interrupt(signal.SIGINT)

    assert (code, left) == (130, set())
    assert list(program.folder.iterdir()) == []


def redeploy(port: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "local", "redeploy", "--port", port],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_redeploy_says_that_nothing_runs() -> None:
    done = redeploy("1")

    assert (done.returncode, "Is `make up` running?" in done.stdout) == (1, True)


def test_up_says_ready_and_ends_well(launch: Callable[..., Program]) -> None:
    program = launch("up", "--port", "0", "--warehouse-port", "0")
    assert program.process.stdout
    lines: list[str] = []
    for line in program.process.stdout:
        lines.append(line.rstrip())
        if line == "ready\n":
            break
    [port] = [line.split(":")[-1].split()[0] for line in lines if line.startswith("AWS  ")]
    redeployed = redeploy(port)

    code, left = program.interrupt(signal.SIGTERM)

    assert (code, left) == (0, set()), "\n".join(lines)
    assert redeployed.returncode == 0, redeployed.stdout
    assert "Files of a dataset go to s3://redshift-pipeline-raw-" in redeployed.stdout
    assert list(program.folder.iterdir()) == []
    assert not any("password" in line and "json" not in line for line in lines)
