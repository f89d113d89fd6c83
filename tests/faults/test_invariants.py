"""The oracle is believed only since it sees, one by one, all that can be wrong."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.datasets import FLIGHTS, READINGS
from tests.faults.invariants import Version, World
from tests.faults.laboratory import Laboratory
from tests.faults.observed import Execution, LedgerFile, Observed
from tests.operating import Mail

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def healthy(laboratory: Laboratory) -> tuple[World, Observed]:
    """Good files, a bad one, versions of one key, one of them destroyed before its load."""
    laboratory.reset()
    world, operation = laboratory.world, laboratory.operation
    with operation.paused():
        first = world.put("raw/flights/oracle/twice.csv", FLIGHTS.file(1))
        world.put("raw/flights/oracle/good.csv", FLIGHTS.file(2, rows=4, rejected=1))
        world.put("raw/flights/oracle/empty.csv", FLIGHTS.file(8, rows=0))
        world.put("raw/readings/oracle/again.csv", READINGS.file(6, rows=5))
        world.put("raw/flights/oracle/bad.csv", FLIGHTS.bad_file(3))
        gone = world.put("raw/flights/oracle/gone.csv", FLIGHTS.file(4))
        world.destroy(gone)
        loads = operation.intercept(6)
        [load] = [one for one in loads if one.files[0].key == first.key]
        operation.start(load)
        operation.wait_until_quiet()
        for other in loads:
            if other is not load:
                operation.start(other)
    operation.wait_until_quiet()
    world.put(first.key, FLIGHTS.file(5))
    world.put("raw/readings/oracle/again.csv", READINGS.file(7))
    operation.settle()
    return world, laboratory.observer.look()


def test_a_healthy_pipeline_has_no_violation(healthy: tuple[World, Observed]) -> None:
    world, seen = healthy

    assert world.violations(seen) == []
    assert len(seen.archived) == 6
    assert len(seen.quarantined) == 1
    assert len(seen.reasons) == 2
    assert {row.status for row in seen.ledger_files} == {"loaded", "replaced"}


class Tampering:
    """One version of each kind, and ways to make the observation wrong about them."""

    def __init__(self, world: World, seen: Observed) -> None:
        self.world = world
        self.seen = seen
        self.good = self.version("good")
        self.bad = self.version("bad")
        self.old, self.new = sorted(
            (v for v in world.versions.values() if v.key.endswith("twice.csv")),
            key=lambda version: version.put_before,
        )

    def version(self, name: str) -> Version:
        [found] = [v for v in self.world.versions.values() if v.key.endswith(f"{name}.csv")]
        return found

    def without(self, place: str, version: Version) -> Observed:
        kept = dict(getattr(self.seen, place))
        del kept[version.file_id]
        return replace(self.seen, **{place: kept})

    def within(self, place: str, version: Version, key: str, body: bytes) -> Observed:
        kept = dict(getattr(self.seen, place))
        kept[version.file_id] = [(key, body)]
        return replace(self.seen, **{place: kept})

    def row(self, version: Version) -> LedgerFile:
        [row] = [row for row in self.seen.ledger_files if row.file_id == version.file_id]
        return row

    def ledger(self, version: Version, **changes: Any) -> Observed:
        row = self.row(version)
        rows = [one for one in self.seen.ledger_files if one is not row]
        return replace(self.seen, ledger_files=(*rows, replace(row, **changes)))

    def forgotten(self, version: Version) -> Observed:
        row = self.row(version)
        rows = tuple(one for one in self.seen.ledger_files if one is not row)
        return replace(self.seen, ledger_files=rows)

    def raw(self, version: Version) -> Observed:
        entry = (version.key, version.version_id)
        return replace(self.seen, raw=self.seen.raw | {entry})

    def view(self, change: Callable[[dict[Any, Any]], object]) -> Observed:
        rows = dict(self.seen.views["flights"])
        change(rows)
        return replace(self.seen, views={**self.seen.views, "flights": rows})

    def run(self, **changes: Any) -> Observed:
        execution = replace(self.execution("good"), **changes)
        others = [one for one in self.seen.executions if one.name != execution.name]
        return replace(self.seen, executions=(*others, execution))

    def execution(self, name: str) -> Execution:
        file_id = self.version(name).file_id
        [*_, last] = [one for one in self.seen.executions if file_id in one.file_ids]
        return last

    def mails(self, reader: str, *, keep: Callable[[Mail], bool]) -> Observed:
        kept = tuple(mail for mail in getattr(self.seen, reader) if keep(mail))
        assert len(kept) < len(getattr(self.seen, reader))
        return replace(self.seen, **{reader: kept})

    def redelivered(self) -> Observed:
        """Another load of the good file, long after, that is told of as if it were news."""
        earlier = self.execution("good")
        document = {**json.loads(earlier.input), "load_id": "again"}
        later = datetime.now(UTC) + timedelta(hours=1)
        again = replace(
            earlier,
            **{"name": "again", "arn": "again", "input": json.dumps(document)},
            **{"started_at": later, "stopped_at": later},
        )
        [load] = [one for one in self.seen.ledger_loads if one.load_id == earlier.load_id]
        recorded = replace(load, load_id="again", files_loaded=0, source_rows=0, rejected_rows=0)
        return replace(
            self.seen,
            executions=(*self.seen.executions, again),
            ledger_loads=(*self.seen.ledger_loads, recorded),
            business=(*self.seen.business, Mail("news", "Load: again")),
        )


REASON = "quarantine/flights/2024/01/01/x/good.csv"
WRONG: dict[str, tuple[Callable[[Tampering], Observed], str]] = {
    "lost file": (
        lambda t: t.without("archived", t.good),
        "invariant 1: .*good.csv.* is lost",
    ),
    "file in two places": (
        lambda t: t.raw(t.good),
        "invariant 1: .*good.csv.* is in more than one place: archive .*, raw",
    ),
    "other bytes": (
        lambda t: t.within("archived", t.good, "archive/flights/a/good.csv", b"other"),
        "invariant 1: .*good.csv.* has other bytes in archive/flights/a/good.csv",
    ),
    "file under another dataset": (
        lambda t: t.within("archived", t.good, "archive/other/good.csv", t.good.body),
        "invariant 1: .*good.csv.* lies under another dataset",
    ),
    "bad file in the archive": (
        lambda t: t.within("archived", t.bad, "archive/flights/bad.csv", t.bad.body),
        "invariant 1: .*bad.csv.* is in the archive although",
    ),
    "good file refused": (
        lambda t: t.within("quarantined", t.good, REASON, t.good.body),
        "invariant 1: .*good.csv.* was refused although it is good",
    ),
    "no reason": (
        lambda t: t.without("reasons", t.bad),
        "invariant 1: .*bad.csv.* is in quarantine without its reason",
    ),
    "reason without its file": (
        lambda t: t.without("quarantined", t.bad),
        "invariant 1: .*bad.csv.* has a reason for its quarantine and is not in it",
    ),
    "wrong reason": (
        lambda t: t.within("reasons", t.bad, f"{REASON}.reason.json", b'{"message": ""}'),
        "invariant 1: .*bad.csv.*: its reason .* is wrong in dataset, key, .*message",
    ),
    "file waits for nobody": (
        lambda t: replace(t.raw(t.good), archived=t.without("archived", t.good).archived),
        "invariant 1: .*good.csv.* lies in raw and waits for nobody",
    ),
    "file that no load has tried": (
        lambda t: replace(t.raw(t.good), executions=()),
        "invariant 1: .*good.csv.* lies in raw and no load has ever tried it",
    ),
    "stranger in the archive": (
        lambda t: replace(t.seen, archived={**t.seen.archived, "f00": [("archive/a/b", b"")]}),
        "invariant 1: archive/a/b is of no version",
    ),
    "stranger in raw": (
        lambda t: replace(t.seen, raw=frozenset({("raw/flights/x.csv", "v1")})),
        "invariant 1: raw/flights/x.csv .* was not uploaded",
    ),
    "row missing from the view": (
        lambda t: t.view(lambda rows: rows.popitem()),
        "invariant 2: the view of flights has None for",
    ),
    "row counted twice": (
        lambda t: t.view(lambda rows: rows.update({k: (2, *v[1:]) for k, v in rows.items()})),
        "invariant 2: the view of flights has \\(2, .* not \\(1, ",
    ),
    "the older version counts": (
        lambda t: replace(
            t.seen,
            ledger_files=(
                *(row for row in t.seen.ledger_files if row.key != t.old.key),
                replace(t.row(t.old), uploaded_at=t.row(t.new).uploaded_at, sequencer="f"),
                replace(t.row(t.new), sequencer="0"),
            ),
        ),
        "invariant 3: the ledger calls .*twice.csv.* (replaced, not loaded|loaded, not superseded)",
    ),
    "file missing from the ledger": (
        lambda t: t.forgotten(t.good),
        "invariant 3: .*good.csv.* is not in the ledger",
    ),
    "file twice in the ledger": (
        lambda t: replace(t.seen, ledger_files=(*t.seen.ledger_files, t.row(t.good))),
        "invariant 3: .*good.csv.* is 2 times in the ledger",
    ),
    "stranger in the ledger": (
        lambda t: t.ledger(t.good, file_id="f00"),
        "invariant 3: the ledger has .*good.csv .*, which was never uploaded",
    ),
    "wrong key in the ledger": (
        lambda t: t.ledger(t.good, key="raw/flights/a.csv"),
        "invariant 3: the ledger takes .*good.csv.* for",
    ),
    "wrong time in the ledger": (
        lambda t: t.ledger(t.good, uploaded_at=datetime(2020, 1, 1, tzinfo=UTC)),
        "invariant 3: the ledger has .*good.csv.* at 2020-01-01",
    ),
    "wrong rows in the ledger": (
        lambda t: t.ledger(t.good, rejected_rows=0),
        "invariant 3: the ledger has \\(4, 0\\) rows .*good.csv.*, not \\(4, 1\\)",
    ),
    "aggregates of fewer rows": (
        lambda t: replace(
            t.seen,
            by_file={
                **t.seen.by_file,
                "flights": {**t.seen.by_file["flights"], t.good.file_id: 2},
            },
        ),
        "invariant 3: the aggregates stand for 2 rows of .*good.csv",
    ),
    "load that no ledger knows": (
        lambda t: t.ledger(t.good, load_id="other"),
        "invariant 3: .*good.csv.* came with other, which no ledger knows",
    ),
    "load whose rows do not add up": (
        lambda t: replace(
            t.seen, ledger_loads=tuple(replace(x, source_rows=9) for x in t.seen.ledger_loads)
        ),
        "invariant 3: load .* has \\(1, 9, .*\\) files, rows and rejects",
    ),
    "business not told": (
        lambda t: t.mails("business", keep=lambda mail: "good.csv" not in mail.message),
        "invariant 4: business has not heard of raw/flights/oracle/good.csv",
    ),
    "business told of a load that failed": (
        lambda t: replace(t.seen, business=(*t.seen.business, Mail("news", "Load: x"))),
        "invariant 4: business was told of load 'x', which has not loaded",
    ),
    "business told of a duplicate": (
        lambda t: t.redelivered(),
        "invariant 4: business was told of load again, all of whose files were done before",
    ),
    "support not told of a failure": (
        lambda t: t.run(status="TIMED_OUT"),
        "invariant 4: support has not heard of flights-.* TIMED_OUT",
    ),
    "support not told of a refusal": (
        lambda t: t.mails("support", keep=lambda mail: "bad.csv" not in mail.message),
        "invariant 4: support has not heard that .*bad.csv.* was refused",
    ),
    "support told of what has not failed": (
        lambda t: replace(
            t.seen,
            support=(*t.seen.support, Mail("", f"Execution: {t.execution('good').arn}")),
        ),
        "invariant 4: support was told that flights-.* failed, which has not",
    ),
    "load that runs": (
        lambda t: replace(t.seen, running=("arn:x:run",)),
        "invariant 5: still running: run",
    ),
    "partition left": (
        lambda t: replace(t.seen, partitions=(t.execution("good").name,)),
        "invariant 5: the partition of an ended load is left: flights-",
    ),
    "staged file left": (
        lambda t: replace(t.seen, staged=("staging/flights/run_id=r/f.csv",)),
        "invariant 5: a staged file is left: staging/flights/run_id=r/f.csv",
    ),
    "statement runs on": (
        lambda t: replace(t.seen, statements=("flights-1",)),
        "invariant 5: a statement runs on: flights-1",
    ),
    "session left": (lambda t: replace(t.seen, sessions=1), "invariant 5: 1 sessions"),
    "message left": (lambda t: replace(t.seen, queued=1), "invariant 5: 1 messages wait"),
    "dead letter": (lambda t: replace(t.seen, dead_letters=1), "invariant 5: 1 .* dead letters"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_seen(healthy: tuple[World, Observed], wrong: str) -> None:
    world, seen = healthy
    tamper, violation = WRONG[wrong]

    found = world.violations(tamper(Tampering(world, seen)))

    assert any(re.match(violation, one) for one in found), found
