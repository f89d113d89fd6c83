"""What a command found that checks many things, and how it is printed.

A check is a function that gives a Result and prints nothing. On a terminal of 80 columns:

    red    subnets         vpc-1 has subnets in 2 zones; a workgroup needs 3.
           -> Give three with SubnetIds.
           $ aws ec2 describe-subnets --filters Name=vpc-id,Values=vpc-1
"""

import os
import re
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from tools.stacks import StackError


class State(StrEnum):
    """What a result means to whoever reads it."""

    GREEN = "green"  # was asked, and is as it has to be
    AMBER = "amber"  # could not be asked, or may hurt later
    RED = "red"  # was asked, and will fail


COLOURS = {State.GREEN: 32, State.AMBER: 33, State.RED: 31}
INDENT = " " * 7
WORD = re.compile(r"""(?:[^\s'"]|'[^']*'|"[^"]*")+""")


@dataclass(frozen=True)
class Result:
    """What one check found: sentences, and a command for the shell where one helps."""

    name: str
    state: State
    text: str
    next_step: str = ""
    command: str = ""


def run(name: str, check: Callable[[], Result]) -> Result:
    """The result of a check; amber where nobody answers, or answers no."""
    try:
        return check()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        kind = "status " if code.isdigit() else ""
        return could_not_ask(name, f"{error.operation_name} answers {kind}{code}")
    except ResponseParserError:
        return could_not_ask(name, "what answers is not the service that was asked")
    except (BotoCoreError, StackError) as error:
        return could_not_ask(name, " ".join(str(error).split()))


def could_not_ask(name: str, why: str) -> Result:
    return Result(name, State.AMBER, f"Could not ask: {why}.".replace("..", "."))


def exit_code(results: Iterable[Result]) -> int:
    """1 where anything is red, else 0."""
    return int(any(result.state is State.RED for result in results))


def show(
    results: Iterable[Result], name_width: int = 16, stream: TextIO | None = None
) -> list[Result]:
    """Print results as they come, then how many there are of each state; give them back."""
    stream = stream or sys.stdout
    shown: list[Result] = []
    for result in results:
        print("\n".join(lines(result, name_width, colour=has_colour(stream))), file=stream)
        stream.flush()
        shown.append(result)
    count = Counter(result.state for result in shown)
    print(", ".join(f"{count[state]} {state}" for state in State), file=stream)
    return shown


def lines(result: Result, name_width: int = 16, colour: bool = False) -> Iterator[str]:
    """A result as lines that fit the terminal, or 80 columns; no word is broken for that."""
    head = f"{result.state:<5}  {result.name:<{name_width}}"
    first, *others = _wrapped(f"{head} {result.text}", INDENT)
    word = f"{result.state:<5}"
    yield f"\033[{COLOURS[result.state]}m{word}\033[0m{first[len(word) :]}" if colour else first
    yield from others
    if result.next_step:
        yield from _wrapped(f"{INDENT}-> {result.next_step}", f"{INDENT}   ")
    if result.command:
        yield from _pasteable(result.command)


def has_colour(stream: TextIO) -> bool:
    """Whether to colour: on a terminal, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _pasteable(command: str) -> Iterator[str]:
    """A command over as many lines as it takes; none is broken within quotes."""
    line = f"{INDENT}$"
    for word in WORD.findall(command):
        if len(line) + 1 + len(word) > _width() - len(" \\") and not line.endswith("$"):
            yield f"{line} \\"
            line = f"{INDENT}   "
        line = f"{line} {word}"
    yield line


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _width() -> int:
    """COLUMNS, or the terminal's, or 80; longer lines than 100 are hard to read."""
    return max(40, min(shutil.get_terminal_size().columns, 100))
