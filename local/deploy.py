"""The real SAM CLI, building and deploying the project to a laptop cloud."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from local import interrupts
from local.cloud import REGION, Endpoint, LaptopCloud
from local.stack import Stack

PROJECT = Path(__file__).resolve().parent.parent
TERMINATION_GRACE_SECONDS = 5


class DeployError(Exception):
    """`sam build` or `sam deploy` failed. The text is what the program wrote."""


def build(cloud: Endpoint, project: Path = PROJECT) -> Path:
    """Build `project` and return a folder that holds the built template. Raises DeployError."""
    shared = project / ".aws-sam" / "laptop"
    with _locked(shared):
        _sam(
            cloud,
            project,
            *("build", "--build-dir", str(shared / "build")),
            *("--cached", "--cache-dir", str(shared / "cache")),
        )
        # The next build overwrites the folder, maybe while this one is being deployed. The copy is
        # as deep as the original, whose template names other files relative to itself.
        own = Path(tempfile.mkdtemp(prefix="build-", dir=shared))
        cloud.at_stop(lambda: shutil.rmtree(own, ignore_errors=True))
        shutil.copytree(shared / "build", own, dirs_exist_ok=True)
    return own


def deploy(
    cloud: LaptopCloud,
    stack_name: str,
    build_folder: Path,
    parameters: Mapping[str, str] | None = None,
    project: Path = PROJECT,
    role_arn: str = "",
) -> Stack:
    """Deploy what `build` made, as a stack of that name, in a role if one is given.

    Raises DeployError.
    """
    outputs = update(cloud, stack_name, build_folder, parameters, project, role_arn)
    return Stack(cloud, stack_name, outputs)


def update(
    cloud: Endpoint,
    stack_name: str,
    build_folder: Path,
    parameters: Mapping[str, str] | None = None,
    project: Path = PROJECT,
    role_arn: str = "",
) -> dict[str, str]:
    """`deploy`, to a laptop cloud of any process: the stack's outputs. Raises DeployError."""
    overrides = [f"{name}={value}" for name, value in (parameters or {}).items()]
    _sam(
        cloud,
        project,
        *("deploy", "--template-file", str(build_folder / "template.yaml")),
        *("--stack-name", stack_name, "--region", REGION),
        *("--no-confirm-changeset", "--no-progressbar"),
        *(["--role-arn", role_arn] if role_arn else []),
        *(["--parameter-overrides", *overrides] if overrides else []),
    )
    stacks = cloud.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    return {item["OutputKey"]: item["OutputValue"] for item in stacks[0].get("Outputs", [])}


def _sam(cloud: Endpoint, project: Path, *arguments: str) -> None:
    binaries = Path(sys.executable).parent
    program = _find_sam(binaries)
    command = [program, *arguments, "--config-file", str(project / "samconfig.toml")]
    code, output = _run(command, project, _environment(cloud, project, binaries))
    if code != 0:
        raise DeployError(f"sam {' '.join(arguments)}\n{output}")


def _environment(cloud: Endpoint, project: Path, binaries: Path) -> dict[str, str]:
    settings = project / ".aws-sam" / "laptop" / "sam-cli"
    settings.mkdir(parents=True, exist_ok=True)
    environment = {
        # Not in the user's home, and kept, since a new one makes the program look for updates.
        "__SAM_CLI_APP_DIR": str(settings),
        **cloud.environment(),
        # The Makefiles of the functions call Python and pip: this one's.
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.1",
        "COLUMNS": "160",
    }
    # What a surrounding `make` was told is not meant for them.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"):
        environment.pop(name, None)
    return environment


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a program to its end, or end it and all that it started when interrupted."""
    process = None
    try:
        with interrupts.shielded():
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                # Its own group, so that it can be ended together with what it started.
                start_new_session=True,
            )
        output, _ = process.communicate()
    except BaseException:
        if process:
            _end_group(process)
        raise
    return process.returncode, output


def _find_sam(binaries: Path) -> str:
    program = shutil.which("sam", path=str(binaries))
    if program is None:
        raise DeployError(f"There is no SAM CLI in {binaries}: run `make setup`.")
    return program


def _end_group(process: "subprocess.Popen[str]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=TERMINATION_GRACE_SECONDS)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other builds, in this process or another, out of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
