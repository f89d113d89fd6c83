"""The tables of docs/assumptions.md: what the pipeline stands on, and what tries it."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "assumptions.md"
COLUMNS = ["Id", "Assumption", "Standing", "Hedge", "Probe"]

_BETWEEN_CELLS = re.compile(r"(?<!\\)\|")
_PROBE = re.compile(r"`([a-z_]+\.[a-z0-9_]+)`")


class PageError(ValueError):
    """A table that cannot be read; the text says which line, and what it lacks."""


@dataclass(frozen=True)
class Assumption:
    """One row. `probe` is `module.function` under tools/probes; without one `reason` says why."""

    id: str
    section: str
    text: str
    standing: str
    hedge: str
    probe: str
    reason: str


def read(page: str) -> list[Assumption]:
    """The rows of all tables in the page's Markdown, in order. Raises PageError."""
    section = ""
    found: list[Assumption] = []
    for number, line in enumerate(page.splitlines(), start=1):
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("|"):
            cells = [cell.strip() for cell in _BETWEEN_CELLS.split(line.strip()[1:-1])]
            if cells == COLUMNS or set("".join(cells)) <= set("-: "):
                continue
            if len(cells) != len(COLUMNS):
                raise PageError(
                    f"docs/assumptions.md, line {number}: {len(cells)} cells instead of "
                    f"{len(COLUMNS)} ({', '.join(COLUMNS)}): {line[:60]}"
                )
            found.append(_row(section, cells))
    return found


def _row(section: str, cells: list[str]) -> Assumption:
    *told, last = cells
    probe = _PROBE.fullmatch(last)
    identifier, text, standing, hedge = told
    return Assumption(
        identifier,
        section,
        text,
        standing,
        hedge,
        probe=probe[1] if probe else "",
        reason="" if probe else last,
    )
