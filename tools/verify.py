"""Try the assumptions of docs/assumptions.md on a deployed environment, and say which hold.

    python -m tools.verify --env dev [--yes] [--only ID ...]
        [--rpu-seconds N] [--statements N] [--transitions N]

Says first what it will make and cost, and asks. What it makes is its own, and is removed whatever
happens. The answers go to build/verification.md too, without account ids or secrets, fit for an
issue. Exit code 1 when an assumption does not hold, the environment cannot be verified, or
something could not be removed.
"""

import argparse
import re
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from types import FrameType

from botocore.exceptions import BotoCoreError, ClientError

from tools import checks, probes
from tools.assumptions import PAGE, Assumption, read
from tools.stacks import StackError, name_of
from tools.verification.bench import Bench
from tools.verification.budget import Budget, SpentError
from tools.verification.deployed import Deployed
from tools.verification.finding import Finding, Outcome, UnansweredError
from tools.verification.page import page, redacted

REPORT = Path(__file__).parents[1] / "build" / "verification.md"
STATES = {
    Outcome.HOLDS: checks.State.GREEN,
    Outcome.UNANSWERED: checks.State.AMBER,
    Outcome.FAILS: checks.State.RED,
}
# As long as the longest id.
NAME_WIDTH = 29
SETTINGS = {"rpu_seconds": 4800, "statements": 100, "transitions": 200}
_PERMISSION = re.compile(r"not authorized to perform:? ([\w-]+:\w+)")

Answers = dict[str, Finding]


class InterruptedRunError(BaseException):
    """Somebody wants it to end."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        rows = chosen(read(PAGE.read_text()), options.only)
        deployed = Deployed(name_of(options.env))
        bench = Bench(deployed, _budget(deployed, options), f"verify_{secrets.token_hex(4)}")
        print(plan(bench))
        if not options.yes and input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was made.")
            return 1
    except (ClientError, BotoCoreError, StackError, EOFError) as error:
        print(f"verify: {redacted(str(error)) or 'nobody said yes'}", file=sys.stderr)
        return 1
    answers: Answers = {}
    stays = run(bench, rows, answers)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(page(bench, rows, answers))
    print(f"\nSpent: {bench.budget.told()}.")
    print(f"All of it, fit to be attached to an issue:\n{REPORT}")
    for what in stays:
        print(f"NOT removed: {what}", file=sys.stderr)
    is_whole = len(answers) == sum(1 for row in rows if row.probe)
    failed = any(found.outcome is Outcome.FAILS for found in answers.values())
    return int(failed or bool(stays) or not is_whole)


def chosen(rows: Sequence[Assumption], ids: Sequence[str]) -> list[Assumption]:
    """The rows of these ids, or all where none is given. Raises StackError."""
    unknown = set(ids) - {row.id for row in rows}
    if unknown:
        raise StackError(f"docs/assumptions.md has no {', '.join(sorted(unknown))}.")
    return [row for row in rows if not ids or row.id in ids]


def plan(bench: Bench) -> str:
    """What will be done and what it may cost, in lines of at most 80 characters."""
    budget, deployed = bench.budget, bench.deployed
    size = f"{budget.capacity} RPU" if budget.capacity else "not billed by the second"
    return f"""\
Tries the assumptions of docs/assumptions.md on the stack {deployed.name}
in {deployed.region}: {deployed.kind} ({size}).

Makes, and removes in the end, each with {bench.name} in its name:
  a schema, an external schema, tables and procedures in the warehouse
  a Glue table, and files under staging/ and quarantine/, which trigger nothing
  three state machines with the role of the load machine
  an EventBridge rule, a queue, two alarms without actions, a secret
Nobody gets a mail. Loads go on meanwhile.

Costs at most {budget.max_price:.2f} USD: {budget.max_rpu_seconds:,} RPU-seconds, \
{budget.max_statements} statements,
{budget.max_transitions} state transitions. It stops when one of them is spent.
"""


def run(bench: Bench, rows: Sequence[Assumption], answers: Answers) -> list[str]:
    """Carry out every probe and fill `answers`, by the assumptions' ids; remove what was made,
    and return what could not be."""
    with _interruptible():
        try:
            _ask_all(bench, rows, answers)
        except InterruptedRunError:
            print("\nInterrupted.", file=sys.stderr)
        finally:
            with _undisturbed():
                print("\nRemoving what was made ...", flush=True)
                stays = bench.traces.remove()
    return stays


def _ask_all(bench: Bench, rows: Sequence[Assumption], answers: Answers) -> None:
    try:
        bench.about_warehouse = bench.warehouse.wake()
    except (ClientError, BotoCoreError, UnansweredError, SpentError) as error:
        print(f"The warehouse does not answer: {redacted(str(error))}", file=sys.stderr)
    checks.show(_results(bench, rows, answers), name_width=NAME_WIDTH)


def _results(bench: Bench, rows: Sequence[Assumption], answers: Answers) -> Iterator[checks.Result]:
    by_probe = {row.probe: row for row in rows if row.probe}
    for name, probe in probes.known().items():
        row = by_probe.get(name)
        if row is None:
            continue
        found = answer(bench, probe)
        answers[row.id] = found
        failed = found.outcome is Outcome.FAILS
        yield checks.Result(
            row.id,
            STATES[found.outcome],
            shorten(redacted(found.evidence), 300, placeholder=" ..."),
            next_step=row.hedge if failed else "",
        )


def answer(bench: Bench, probe: probes.Probe) -> Finding:
    """What a probe finds, as it counts."""
    try:
        found = probe.answer(bench)
    except UnansweredError as error:
        found = Finding(Outcome.UNANSWERED, str(error))
    except SpentError as error:
        found = Finding(Outcome.UNANSWERED, f"not tried: {error}")
    except ClientError as error:
        found = Finding(Outcome.UNANSWERED, refusal(error))
    except BotoCoreError as error:
        found = Finding(Outcome.UNANSWERED, str(error))
    except Exception as error:  # noqa: BLE001 - an answer of an unknown shape ends no other probe
        found = Finding(Outcome.UNANSWERED, f"the probe itself failed: {error!r}")
    return found.by(bench.strange_warehouse if probe.asks_warehouse else bench.stranger)


def refusal(error: ClientError) -> str:
    """Why a service said no; where it was a permission, which one."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    lacking = _PERMISSION.search(message)
    if lacking:
        return f"your credentials lack the permission {lacking[1]}"
    if "AccessDenied" in code:
        return f"your credentials lack the permission for {error.operation_name}"
    return f"{error.operation_name}: {code} {message}".strip()


def _budget(deployed: Deployed, options: argparse.Namespace) -> Budget:
    return Budget(deployed.capacity, options.rpu_seconds, options.statements, options.transitions)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make verify", description=__doc__)
    parser.add_argument("--env", required=True, help="an environment of samconfig.toml")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="these alone")
    for name, most in SETTINGS.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=most, help=f"at most so many ({most})")
    return parser.parse_args(arguments)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let an interrupt, a closed terminal or a termination end what runs in here in order."""

    def interrupt(_number: int, _frame: object) -> None:
        raise InterruptedRunError

    with _handling(interrupt):
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let what runs in here come to its end."""

    def ask_for_patience(_number: int, _frame: object) -> None:
        print("One moment: what was made is being removed.", file=sys.stderr, flush=True)

    with _handling(ask_for_patience):
        yield


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)


if __name__ == "__main__":
    sys.exit(main())
