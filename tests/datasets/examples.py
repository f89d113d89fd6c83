"""A dataset's example cases: files in, tables and rejected rows out, as docs/datasets.md has it."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from tests.datasets.loads import Loads, Refused

REJECTED = "rejected.csv"
REFUSED = "refused.csv"
# Where a load has its copy of a file: other at each load.
STAGED = re.compile(r"(?:s3://[^/']+/)?staging/[^/']+/run_id=[^/']+/[0-9a-f]{32}")
COLUMNS_OF_A_VIEW = """
select column_name from svv_columns
where table_schema = 'mart' and table_name = %s
order by ordinal_position
"""


@dataclass(frozen=True)
class Case:
    """A folder sql/datasets/<dataset>/examples/<case>."""

    path: Path

    @property
    def dataset(self) -> Path:
        """The dataset's folder."""
        return self.path.parents[1]

    @property
    def name(self) -> str:
        return f"{self.dataset.name}/{self.path.name}"

    def files(self) -> dict[str, bytes]:
        """The files that come in, by their path below in/, in the order of these."""
        root = self.path / "in"
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}

    def expected(self) -> dict[str, str]:
        """The texts of the files that say what comes out, by name."""
        return {path.name: path.read_text(encoding="utf-8") for path in self.path.glob("*.csv")}


def cases(*roots: Path) -> list[Case]:
    """The cases of all datasets below these folders."""
    found = (path for root in roots for path in sorted(root.glob("*/examples/*")))
    return [Case(path) for path in found if path.is_dir()]


def outcome(loads: Loads, files: Mapping[str, bytes]) -> dict[str, str]:
    """What comes out when the files are loaded, as texts by the names of their files."""
    answers = loads.load_all(files)
    refused = [
        (name, STAGED.sub("staging/…", answer))
        for name, answer in answers.items()
        if isinstance(answer, Refused)
    ]
    found = {
        REFUSED: _text(("file", "reason"), refused),
        REJECTED: _text(("file", "line", "reason", "value"), sorted(loads.rejected())),
    }
    for view in loads.views():
        columns = [name for (name,) in loads.loading.query(COLUMNS_OF_A_VIEW, view)]
        found[f"{view}.csv"] = _text(columns, loads.view(view))
    return {name: text for name, text in found.items() if text}


def difference(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    """What was expected (-) and what came (+), file by file; empty where they agree."""
    return "".join(
        line
        for name in sorted({*expected, *found})
        for line in unified_diff(
            _normal(expected.get(name, "")), _normal(found.get(name, "")), name, f"{name}, found"
        )
    )


def write(case: Case, found: Mapping[str, str]) -> None:
    """Make what was found what is expected."""
    for name in case.expected().keys() - found.keys():
        (case.path / name).unlink()
    for name, text in found.items():
        (case.path / name).write_text(text, encoding="utf-8")


def _normal(text: str) -> list[str]:
    """A header, and the rows in their order; quotes that need not be do not count."""
    header, *rows = csv.reader(io.StringIO(text)) if text else [[]]
    return _text(header, sorted(rows)).splitlines(keepends=True)


def _text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """The CSV text; none where there is no row."""
    lines = [list(map(_shown, row)) for row in rows]
    if not lines:
        return ""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([list(header), *lines])
    return out.getvalue()


def _shown(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
