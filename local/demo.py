"""The demo: three datasets from upload to mail, on a laptop cloud that is taken down again."""

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pyarrow import parquet
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from local import interrupts
from local.cloud import LaptopCloud
from local.deploy import PROJECT, build, deploy
from local.mails import Mail, Mailbox
from local.stack import Stack
from tools.datasets.choosing import folders
from tools.datasets.reading import Folder
from tools.datasets.rendering import Rendering

STACK_NAME = "redshift-pipeline"
EXAMPLES = PROJECT / "examples"
SUFFIXES = {".csv", ".jsonl", ".parquet"}
BATCH_WINDOW_SECONDS = 2
LOAD_TIMEOUT_SECONDS = 120
MAIL_TIMEOUT_SECONDS = 10
POLL_SECONDS = 0.2
EXIT_FAILURE = 1

# The query of examples/<dataset>/ whose rows are shown; its first line says what they are.
SHOWN = "show.sql"


class DemoError(Exception):
    """The demo cannot go on."""


@dataclass
class Check:
    """A thing that must hold at the end."""

    claim: str
    holds: bool


@dataclass
class Stopwatch:
    """How long each phase took, in seconds."""

    laps: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def lap(self, name: str) -> None:
        """End a phase, and begin the next."""
        now = time.monotonic()
        self.laps[name] = now - self._since
        self._since = now


def with_examples() -> list[Folder]:
    """The datasets that have a folder in examples/."""
    return [folder for folder in folders() if (EXAMPLES / folder.name).is_dir()]


def example_files(dataset: str) -> list[Path]:
    """The files that the demo uploads of a dataset."""
    return sorted(file for file in (EXAMPLES / dataset).iterdir() if file.suffix in SUFFIXES)


def run(console: Console) -> int:
    """Run the demo, and return the exit code: 1 when anything is not as it should be.

    Raises CloudError, DeployError and DemoError.
    """
    stopwatch = Stopwatch()
    cloud = LaptopCloud()
    with interrupts.shielded_run(cloud):
        stopwatch.lap("laptop cloud")
        stack = _deploy(cloud, console, stopwatch)
        checks = _show(stack, console, stopwatch)
    stopwatch.lap("take down")
    _print_timings(console, stopwatch)
    return _print_checks(console, checks)


def _deploy(cloud: LaptopCloud, console: Console, stopwatch: Stopwatch) -> Stack:
    with console.status("sam build"):
        build_folder = build(cloud)
    stopwatch.lap("sam build")
    with console.status("sam deploy"):
        stack = deploy(
            cloud, STACK_NAME, build_folder, {"BatchWindowSeconds": str(BATCH_WINDOW_SECONDS)}
        )
    stopwatch.lap("sam deploy")
    return stack


def _show(stack: Stack, console: Console, stopwatch: Stopwatch) -> list[Check]:
    mailboxes = [
        Mailbox(stack, "business"),
        Mailbox(stack, "support"),
    ]
    datasets = with_examples()
    files = [file for folder in datasets for file in example_files(folder.name)]
    _upload(stack, files, console)
    stopwatch.lap("upload")
    _follow_loads(stack, len(files), console)
    if not console.is_terminal:
        console.print()  # Rich leaves the last line open there
    stopwatch.lap("load")
    _print_tables(stack, datasets, console)
    _print_archive(stack, console)
    mails = _collect_mails(mailboxes, len(stack.executions()))
    _print_mails(mails, console)
    checks = _checks(stack, datasets, files, mails)
    stopwatch.lap("look at it")
    return checks


def _upload(stack: Stack, files: list[Path], console: Console) -> None:
    bucket = stack.outputs["RawBucketName"]
    console.rule("Upload")
    for file in files:
        key = f"raw/{file.parent.name}/{file.name}"
        stack.s3.upload_file(str(file), bucket, key)
        console.print(f"s3://{bucket}/{key}", soft_wrap=True)


def _follow_loads(stack: Stack, files: int, console: Console) -> None:
    """Show the loads until all files have been in one and all have ended."""
    console.rule("Load")
    deadline = time.monotonic() + LOAD_TIMEOUT_SECONDS
    with Live(console=console, auto_refresh=False) as live:
        while True:
            executions = stack.executions()
            loads = [_input(stack, execution) for execution in executions]
            tables = [
                _progress(stack, execution, load)
                for execution, load in zip(executions, loads, strict=True)
            ]
            waiting = f"The queue gathers files for {BATCH_WINDOW_SECONDS} seconds."
            live.update(Group(*tables) if tables else waiting, refresh=True)
            ended = all(execution["status"] != "RUNNING" for execution in executions)
            if ended and sum(len(load["files"]) for load in loads) >= files:
                return
            if time.monotonic() > deadline:
                raise DemoError(f"The files were not loaded within {LOAD_TIMEOUT_SECONDS} s.")
            time.sleep(POLL_SECONDS)


def _input(stack: Stack, execution: dict[str, Any]) -> dict[str, Any]:
    answer = stack.step_functions.describe_execution(executionArn=execution["executionArn"])
    parsed: dict[str, Any] = json.loads(answer["input"])
    return parsed


def _progress(stack: Stack, execution: dict[str, Any], load: dict[str, Any]) -> Group:
    """One execution: its states in the order of their first visit."""
    events = stack.step_functions.get_execution_history(
        executionArn=execution["executionArn"], maxResults=1000
    )["events"]
    count = len(load["files"])
    files = f"{count} file{'s' if count > 1 else ''}"
    table = Table(box=None)
    table.add_column("at", justify="right")
    table.add_column("state")
    table.add_column("visits", justify="right")
    for name, visits in _visits(events).items():
        seconds = (visits[0] - events[0]["timestamp"]).total_seconds()
        table.add_row(f"{seconds:.1f} s", name, f"{len(visits)}" if len(visits) > 1 else "")
    for event in events:
        failure = event.get("executionFailedEventDetails", {})
        if failure:
            table.add_row("", f"{failure.get('error')}: {failure.get('cause')}")
    # Not the table's title, which would be as narrow as the table.
    return Group(Text(f"{execution['name']}: {files}, {execution['status']}"), table)


def _visits(events: list[dict[str, Any]]) -> dict[str, list[datetime]]:
    visits: dict[str, list[datetime]] = {}
    for event in events:
        if "stateEnteredEventDetails" in event:
            name = event["stateEnteredEventDetails"]["name"]
            visits.setdefault(name, []).append(event["timestamp"])
    return visits


def _print_tables(stack: Stack, datasets: list[Folder], console: Console) -> None:
    for folder in datasets:
        query = (EXAMPLES / folder.name / SHOWN).read_text(encoding="utf-8")
        console.rule(query.partition("\n")[0].removeprefix("-- "))
        columns, rows = stack.table(query)
        table = Table(box=None)
        for column, value in zip(columns, rows[0], strict=True):
            is_number = isinstance(value, int | float | Decimal)
            table.add_column(column.replace("_", " "), justify="right" if is_number else "left")
        for row in rows:
            table.add_row(*map(_shown, row))
        console.print(table)


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int | Decimal) else str(value)


def _print_archive(stack: Stack, console: Console) -> None:
    console.rule("Archive")
    for key in stack.keys("ArchiveBucketName", "archive/"):
        console.print(f"s3://{stack.outputs['ArchiveBucketName']}/{key}", soft_wrap=True)
    left = stack.keys("RawBucketName", "raw/")
    console.print(f"raw/ holds {len(left)} files." if left else "raw/ is empty.")


def _collect_mails(mailboxes: list[Mailbox], expected: int) -> list[Mail]:
    mails: list[Mail] = []
    deadline = time.monotonic() + MAIL_TIMEOUT_SECONDS
    while len(mails) < expected and time.monotonic() < deadline:
        for mailbox in mailboxes:
            mails += mailbox.collect()
    return mails


def _print_mails(mails: list[Mail], console: Console) -> None:
    console.rule("Mail")
    for mail in mails:
        console.print(Panel(mail.text, title=f"To {mail.reader}: {mail.subject}"))


def _checks(
    stack: Stack, datasets: list[Folder], files: list[Path], mails: list[Mail]
) -> list[Check]:
    executions = stack.executions()
    readers = [mail.reader for mail in mails]
    return [
        Check(
            f"every load succeeded ({len(executions)})",
            all(execution["status"] == "SUCCEEDED" for execution in executions),
        ),
        *(_check_rows(stack, folder) for folder in datasets),
        Check(
            f"the archive holds the {len(files)} files",
            len(stack.keys("ArchiveBucketName", "archive/")) == len(files),
        ),
        Check("raw/ is empty", not stack.keys("RawBucketName", "raw/")),
        Check("staging/ is empty", not stack.keys("RawBucketName", "staging/")),
        Check("business heard of each load", readers.count("business") == len(executions)),
        Check("support heard nothing", "support" not in readers),
    ]


def _check_rows(stack: Stack, folder: Folder) -> Check:
    """Each table of a dataset stands for all rows of its files."""
    written = sum(map(_count_rows, example_files(folder.name)))
    counted = [
        stack.query(f"select {table.counted} from mart.{table.name}_by_file")
        for table in Rendering(folder).tables
    ]
    return Check(
        f"{folder.name}: each of {written:,} rows counts",
        all(rows == [(written,)] for rows in counted),
    )


def _count_rows(file: Path) -> int:
    if file.suffix == ".parquet":
        return int(parquet.read_metadata(file).num_rows)
    header = 1 if file.suffix == ".csv" else 0
    with file.open("rb") as lines:
        return sum(1 for _ in lines) - header


def _print_timings(console: Console, stopwatch: Stopwatch) -> None:
    console.rule("Time")
    laps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stopwatch.laps.items())
    console.print(f"{sum(stopwatch.laps.values()):.1f} s: {laps}")


def _print_checks(console: Console, checks: list[Check]) -> int:
    for check in checks:
        console.print("[green]yes[/]" if check.holds else "[red]NO [/]", check.claim)
    return 0 if all(check.holds for check in checks) else EXIT_FAILURE
