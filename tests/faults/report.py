"""The fault matrix as a page: docs/faults.md is a copy of what `make faults` writes.

What stands outside the two marks is written by hand and kept.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.faults.inject import Kind
from tests.faults.matrix import Cell, Outcome

PATH = Path(__file__).parents[2] / "docs" / "faults.md"
WRITTEN = Path(__file__).parents[2] / "build" / "faults.md"
BEGIN = "<!-- make faults writes what follows -->"
END = "<!-- and ends here -->"


def table(outcomes: Mapping[Cell, Outcome]) -> str:
    """The cells as Markdown: a task a row, a kind of fault a column."""
    lines = [
        f"| Machine | Task | {' | '.join(kind.capitalize() for kind in Kind)} |",
        f"| {' | '.join(['---'] * (len(Kind) + 2))} |",
    ]
    for machine, state in dict.fromkeys((cell.machine, cell.state) for cell in outcomes):
        row = [_text(outcomes[Cell(machine, state, kind)]) for kind in Kind]
        lines.append(f"| {machine} | {state} | {' | '.join(row)} |")
    return "\n".join(lines)


def read_table(document: str) -> dict[Cell, str]:
    """What the document says a cell's execution ended as while the fault lasted."""
    return {
        Cell(machine, state, kind): text.partition(";")[0]
        for machine, state, *texts in _rows(document)
        for kind, text in zip(Kind, texts, strict=True)
    }


def written(document: str, outcomes: Mapping[Cell, Outcome]) -> str:
    """The document with a new table."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(outcomes)}\n\n{END}{after}"


def _text(outcome: Outcome) -> str:
    return "; ".join(filter(None, [outcome.first, outcome.healed_by]))


def _rows(document: str) -> Iterator[list[str]]:
    _, _, rest = document.partition(BEGIN)
    lines = [line for line in rest.partition(END)[0].splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [column.strip() for column in line.strip("|").split("|")]
