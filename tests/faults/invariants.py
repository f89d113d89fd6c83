"""The oracle: what must hold of a pipeline once it is quiet, computed without the pipeline.

A `World` remembers every object version that was put under raw/, and says from these and from what
is seen (`Observed`) which of the five invariants do not hold: each violation is one text that names
the version, the execution or the object that is wrong.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from start_loads.shown import shown

from local.stack import Stack
from tests.faults.datasets import Contents, Dataset, Grain, Measures, RefusedError, added_up
from tests.faults.observed import Execution, LedgerFile, Observed
from tests.operating import Mail

# Clocks are read before and after a put; S3 tells times by the second.
CLOCK_MARGIN = timedelta(seconds=1)
SEQUENCER_DIGITS = 64
SHOWN_DIFFERENCES = 3


@dataclass(frozen=True)
class Version:
    """One object version under raw/, put there between two moments."""

    bucket: str
    dataset: str
    key: str
    version_id: str
    body: bytes
    put_after: datetime
    put_before: datetime

    @cached_property
    def file_id(self) -> str:
        """The design's name of an object version."""
        text = json.dumps([self.bucket, self.key, self.version_id])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def __str__(self) -> str:
        return f"{self.key} ({self.version_id[:8]})"


@dataclass
class World:
    """Everything that was done to a pipeline from outside.

    `put`, `delete`, `destroy` do it and take note; `reverted` is to be told the file_ids that were
    taken back in the warehouse.
    """

    stack: Stack
    datasets: Mapping[str, Dataset]
    versions: dict[str, Version] = field(default_factory=dict)
    destroyed: set[str] = field(default_factory=set)
    reverted: set[str] = field(default_factory=set)

    @property
    def bucket(self) -> str:
        return self.stack.outputs["RawBucketName"]

    def put(self, key: str, body: bytes) -> Version:
        """Upload a file under raw/<dataset>/."""
        put_after = datetime.now(UTC)
        answer = self.stack.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        version = Version(
            bucket=self.bucket,
            dataset=key.split("/")[1],
            key=key,
            version_id=str(answer["VersionId"]),
            body=body,
            put_after=put_after,
            put_before=datetime.now(UTC),
        )
        self.versions[version.file_id] = version
        return version

    def delete(self, key: str) -> None:
        """Delete a key as most people do: its versions stay, under a marker, and count."""
        self.stack.s3.delete_object(Bucket=self.bucket, Key=key)

    def destroy(self, version: Version) -> None:
        """Delete a version for good. Whether it counts depends on who was first."""
        self.destroyed.add(version.file_id)
        self.stack.s3.delete_object(
            Bucket=self.bucket, Key=version.key, VersionId=version.version_id
        )

    def forget(self) -> None:
        """Begin anew, with a stack that is empty."""
        self.versions.clear()
        self.destroyed.clear()
        self.reverted.clear()

    def violations(self, seen: Observed) -> list[str]:
        """What does not hold of a pipeline that is quiet; empty when all is well."""
        return [
            f"invariant {number}: {violation}"
            for number, found in enumerate(
                (
                    _Places(self, seen).violations(),
                    _Aggregates(self, seen).violations(),
                    _Ledger(self, seen).violations(),
                    _Mails(self, seen).violations(),
                    _rests(seen),
                ),
                start=1,
            )
            for violation in found
        ]

    def contents(self, version: Version) -> Contents | None:
        """What a version amounts to; None where no part of it may count."""
        dataset = self.datasets.get(version.dataset)
        try:
            return dataset.contents(version.body) if dataset else None
        except RefusedError:
            return None


@dataclass
class _Check:
    """Versions, beside what is seen of them."""

    world: World
    seen: Observed

    @cached_property
    def rows(self) -> dict[str, LedgerFile]:
        """The ledger by file_id."""
        return {row.file_id: row for row in self.seen.ledger_files}

    @cached_property
    def runs(self) -> dict[str, list[Execution]]:
        """The executions that dealt with a file, oldest first."""
        runs: dict[str, list[Execution]] = {}
        for execution in self.seen.executions:
            for file_id in execution.file_ids:
                runs.setdefault(file_id, []).append(execution)
        return runs

    def is_in_raw(self, version: Version) -> bool:
        return (version.key, version.version_id) in self.seen.raw

    def versions(self) -> Iterable[Version]:
        return self.world.versions.values()


class _Places(_Check):
    """Each version is in one place, as it was uploaded."""

    def violations(self) -> Iterator[str]:
        for version in self.versions():
            yield from self._of(version)
        yield from self._strangers()

    def _of(self, version: Version) -> Iterator[str]:
        archived = self.seen.archived.get(version.file_id, [])
        quarantined = self.seen.quarantined.get(version.file_id, [])
        places = [f"archive as {key}" for key, _ in archived]
        places += [f"quarantine as {key}" for key, _ in quarantined]
        places += ["raw"] if self.is_in_raw(version) else []
        if not places and version.file_id not in self.world.destroyed:
            yield f"{version} is lost: neither in raw nor in the archive nor in quarantine"
        if len(places) > 1:
            yield f"{version} is in more than one place: {', '.join(places)}"
        for key, body in [*archived, *quarantined]:
            if body != version.body:
                yield f"{version} has other bytes in {key}"
            if key.split("/")[1:2] != [version.dataset]:
                yield f"{version} lies under another dataset: {key}"
        if self.is_in_raw(version):
            yield from self._waiting(version)
        if archived and self.world.contents(version) is None:
            yield f"{version} is in the archive although it has to be refused"
        if quarantined and self.world.contents(version) is not None:
            yield f"{version} was refused although it is good"
        yield from self._reason(version, is_kept=bool(quarantined))

    def _waiting(self, version: Version) -> Iterator[str]:
        """What lies in raw waits for an operator, who was told (see _Mails)."""
        runs = self.runs.get(version.file_id, [])
        if not runs:
            yield f"{version} lies in raw and no load has ever tried it"
        elif (runs[-1].status, runs[-1].error) != ("FAILED", "OperatorError"):
            last = f"{runs[-1].name} {runs[-1].status} {runs[-1].error}"
            yield f"{version} lies in raw and waits for nobody: its last load is {last}"

    def _reason(self, version: Version, *, is_kept: bool) -> Iterator[str]:
        reasons = self.seen.reasons.get(version.file_id, [])
        if is_kept and not reasons:
            yield f"{version} is in quarantine without its reason"
        if reasons and not is_kept and version.file_id not in self.world.destroyed:
            yield f"{version} has a reason for its quarantine and is not in it"
        for key, body in reasons:
            reason = json.loads(body)
            told = {"dataset": version.dataset, "key": version.key, "error_class": "data"}
            told["version_id"] = version.version_id
            wrong = [name for name, value in told.items() if reason.get(name) != value]
            wrong += [name for name in ("message", "execution") if not reason.get(name)]
            if wrong:
                yield f"{version}: its reason {key} is wrong in {', '.join(wrong)}"

    def _strangers(self) -> Iterator[str]:
        for place in (self.seen.archived, self.seen.quarantined, self.seen.reasons):
            for file_id in place.keys() - self.world.versions.keys():
                yield f"{place[file_id][0][0]} is of no version that was ever uploaded"
        known = {(version.key, version.version_id) for version in self.versions()}
        for key, version_id in self.seen.raw - known:
            yield f"{key} ({version_id[:8]}) in raw was not uploaded"


class _Order(_Check):
    """Which versions count."""

    def rank(self, version: Version) -> tuple[datetime, str, str]:
        """The place of a version among those of its key; the ledger says what was known of it."""
        row = self.rows.get(version.file_id)
        moment = row.uploaded_at if row and row.uploaded_at else version.put_before
        sequencer = row.sequencer if row else ""
        padded = sequencer.ljust(SEQUENCER_DIGITS, "0")
        return moment.replace(microsecond=0), padded, version.file_id

    def settled(self, dataset: str) -> list[Version]:
        """The good versions that were loaded, or should have been by now."""
        return [
            version
            for version in self.versions()
            if version.dataset == dataset
            and self.world.contents(version) is not None
            and (version.file_id in self.rows or self._should_be_loaded(version))
        ]

    def counting(self, dataset: Dataset) -> list[Version]:
        settled = self.settled(dataset.name)
        if dataset.same_key == "replace":
            newest: dict[str, Version] = {}
            for version in sorted(settled, key=self.rank):
                newest[version.key] = version
            settled = list(newest.values())
        return [version for version in settled if version.file_id not in self.world.reverted]

    def _should_be_loaded(self, version: Version) -> bool:
        return not self.is_in_raw(version) and version.file_id not in self.world.destroyed


class _Aggregates(_Order):
    """The view shows the versions that count, and nothing else."""

    def violations(self) -> Iterator[str]:
        for dataset in self.world.datasets.values():
            expected = added_up(
                part
                for version in self.counting(dataset)
                for part in self._measures(version).items()
            )
            yield from _differences(dataset.name, expected, self.seen.views[dataset.name])

    def _measures(self, version: Version) -> dict[Grain, Measures]:
        contents = self.world.contents(version)
        return contents.measures if contents else {}


def _differences(
    dataset: str, expected: Mapping[Grain, Measures], found: Mapping[Grain, Measures]
) -> Iterator[str]:
    grains = [
        grain
        for grain in expected.keys() | found.keys()
        if tuple(found.get(grain, ())) != tuple(expected.get(grain, ()))
    ]
    for grain in sorted(grains, key=str)[:SHOWN_DIFFERENCES]:
        name = " ".join(map(str, grain))
        yield f"the view of {dataset} has {found.get(grain)} for {name}, not {expected.get(grain)}"
    if len(grains) > SHOWN_DIFFERENCES:
        yield f"the view of {dataset} is wrong for {len(grains)} rows in all"


class _Ledger(_Order):
    """The ledger says what was loaded, with which load, and its rows add up."""

    def violations(self) -> Iterator[str]:
        for file_id, times in Counter(row.file_id for row in self.seen.ledger_files).items():
            if times > 1:
                yield f"{self._name(file_id)} is {times} times in the ledger"
        yield from self._missing()
        for row in self.rows.values():
            yield from self._row(row)
        yield from self._loads()

    def _name(self, file_id: str) -> str:
        return str(self.world.versions.get(file_id, file_id))

    def _missing(self) -> Iterator[str]:
        for dataset in self.world.datasets:
            for version in self.settled(dataset):
                if version.file_id not in self.rows:
                    yield f"{version} is not in the ledger"

    def _row(self, row: LedgerFile) -> Iterator[str]:
        version = self.world.versions.get(row.file_id)
        if version is None:
            yield f"the ledger has {row.key} ({row.file_id}), which was never uploaded"
            return
        names = (row.dataset, row.key, row.version_id)
        if names != (version.dataset, version.key, version.version_id):
            yield f"the ledger takes {version} for {names}"
        contents = self.world.contents(version)
        if contents is None:
            yield f"{version} is in the ledger although it has to be refused"
            return
        if not self._is_plausible(version, row):
            yield f"the ledger has {version} at {row.uploaded_at}, not {version.put_before}"
        if row.status != self._status(version) and not (
            self._status(version) == "superseded" and row.status == "replaced"
        ):
            yield f"the ledger calls {version} {row.status}, not {self._status(version)}"
        yield from self._counts(version, row, contents)

    @staticmethod
    def _is_plausible(version: Version, row: LedgerFile) -> bool:
        earliest = version.put_after.replace(microsecond=0) - CLOCK_MARGIN
        moment = row.uploaded_at
        return moment is not None and earliest <= moment <= version.put_before + CLOCK_MARGIN

    def _status(self, version: Version) -> str:
        """Superseded stands for replaced too: which of both depends on who came first."""
        if version.file_id in self.world.reverted:
            return "reverted"
        return "loaded" if version.file_id in self._counting_ids else "superseded"

    @cached_property
    def _counting_ids(self) -> frozenset[str]:
        datasets = self.world.datasets.values()
        return frozenset(v.file_id for dataset in datasets for v in self.counting(dataset))

    def _counts(self, version: Version, row: LedgerFile, contents: Contents) -> Iterator[str]:
        expected = (contents.source_rows, contents.rejected_rows)
        if row.status == "superseded":
            expected = (0, 0)
        if (row.source_rows, row.rejected_rows) != expected:
            found = (row.source_rows, row.rejected_rows)
            yield f"the ledger has {found} rows read and rejected of {version}, not {expected}"
        counted = self.seen.by_file[version.dataset].get(version.file_id, 0)
        good_rows = contents.source_rows - contents.rejected_rows
        if counted != (good_rows if row.status == "loaded" else 0):
            yield f"the aggregates stand for {counted} rows of {version}, which is {row.status}"

    def _loads(self) -> Iterator[str]:
        loads = {load.load_id: load for load in self.seen.ledger_loads}
        if len(loads) < len(self.seen.ledger_loads):
            yield "a load is in the ledger more than once"
        files: dict[str, list[LedgerFile]] = {load_id: [] for load_id in loads}
        for row in self.seen.ledger_files:
            if row.load_id not in loads:
                yield f"{self._name(row.file_id)} came with {row.load_id}, which no ledger knows"
            files.setdefault(row.load_id, []).append(row)
        for load in loads.values():
            found = (load.files_loaded, load.source_rows, load.rejected_rows)
            counted = [row for row in files[load.load_id] if row.status != "superseded"]
            expected = (
                len(counted),
                sum(row.source_rows for row in counted),
                sum(row.rejected_rows for row in counted),
            )
            if found != expected:
                yield f"load {load.load_id} has {found} files, rows and rejects, not {expected}"


class _Mails(_Check):
    """Business heard of what was loaded, support of what failed, and nobody of duplicates."""

    def violations(self) -> Iterator[str]:
        yield from self._files_without_news()
        yield from self._news_of_nothing()
        yield from self._untold_failures()
        yield from self._untold_refusals()
        yield from self._needless_alarms()

    @cached_property
    def _by_load(self) -> dict[str, list[Execution]]:
        by_load: dict[str, list[Execution]] = {}
        for execution in self.seen.executions:
            by_load.setdefault(execution.load_id, []).append(execution)
        return by_load

    @cached_property
    def _by_arn(self) -> dict[str, Execution]:
        return {execution.arn: execution for execution in self.seen.executions}

    def _told_loads(self) -> Iterator[tuple[Mail, str]]:
        for mail in self.seen.business:
            yield mail, mail.line("Load")

    def _files_without_news(self) -> Iterator[str]:
        named = {
            (file_id, key)
            for mail, load_id in self._told_loads()
            for execution in self._by_load.get(load_id, [])[:1]
            for file_id in execution.file_ids
            for key in mail.list_under("Files:")
        }
        for row in self.rows.values():
            version = self.world.versions.get(row.file_id)
            if version and self.is_in_raw(version):
                continue  # its load is not done yet
            if (row.file_id, shown(row.key)) not in named and row.status != "reverted":
                yield f"business has not heard of {row.key} ({row.version_id[:8]}), {row.status}"

    def _news_of_nothing(self) -> Iterator[str]:
        loaded = {load.load_id for load in self.seen.ledger_loads}
        for mail, load_id in self._told_loads():
            if load_id not in loaded:
                yield f"business was told of load {load_id!r}, which has not loaded: {mail.subject}"
            elif self._is_noise(load_id):
                yield f"business was told of load {load_id}, all of whose files were done before"

    def _is_noise(self, load_id: str) -> bool:
        runs = self._by_load.get(load_id, [])
        return bool(runs) and all(
            all(self._was_done_before(file_id, run) for file_id in run.file_ids) for run in runs
        )

    def _was_done_before(self, file_id: str, run: Execution) -> bool:
        return any(
            other.load_id != run.load_id
            and other.status == "SUCCEEDED"
            and not other.handed_on
            and other.stopped_at is not None
            and other.stopped_at < run.started_at
            for other in self.runs[file_id]
        )

    def _untold_failures(self) -> Iterator[str]:
        told = {mail.line("Execution") for mail in self.seen.support if mail.line("Reason")}
        for execution in self.seen.executions:
            teller = execution.told_by or execution.arn
            if execution.status not in ("SUCCEEDED", "RUNNING") and teller not in told:
                what = f"{execution.name} {execution.status} {execution.error}".strip()
                yield f"support has not heard of {what}"

    def _untold_refusals(self) -> Iterator[str]:
        told = {
            file_id
            for mail in self.seen.support
            if ": file refused: " in mail.subject
            for execution in [self._by_arn.get(mail.line("Execution"))]
            for file_id in (execution.file_ids if execution else ())
        }
        for file_id in {*self.seen.quarantined, *self.seen.reasons} - told:
            name = self.world.versions.get(file_id, file_id)
            yield f"support has not heard that {name} was refused"

    def _needless_alarms(self) -> Iterator[str]:
        for mail in self.seen.support:
            execution = self._by_arn.get(mail.line("Execution"))
            if execution is None:
                yield f"support was told of no execution: {mail.subject}"
            elif execution.status == "SUCCEEDED":
                yield f"support was told that {execution.name} failed, which has not"


def _rests(seen: Observed) -> Iterator[str]:
    """Nothing runs, and ended loads have left nothing."""
    ended = {execution.name for execution in seen.executions if execution.status != "RUNNING"}
    yield from (f"still running: {arn.rpartition(':')[2]}" for arn in seen.running)
    for run_id in seen.partitions:
        whose = "an ended load" if run_id in ended else "no known load"
        yield f"the partition of {whose} is left: {run_id}"
    yield from (f"a staged file is left: {key}" for key in seen.staged)
    yield from (f"a statement runs on: {name}" for name in seen.statements)
    if seen.sessions:
        yield f"{seen.sessions} sessions of the loader are open in the warehouse"
    if seen.queued:
        yield f"{seen.queued} messages wait in the queue"
    if seen.dead_letters:
        yield f"{seen.dead_letters} messages are dead letters"
