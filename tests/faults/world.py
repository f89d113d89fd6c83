"""What ought to be true, computed from what was uploaded and not from what the product says.

`World` uploads, remembers each object version, and once the system is quiet names every way in
which the buckets, the warehouse, the mails and the executions differ from what they should be.
"""

import csv
import hashlib
import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.deployed_pipeline import Mail, Pipeline

Aggregates = dict[tuple[str, ...], tuple[int, ...]]

QUIET_TIMEOUT_SECONDS = 120
POLL_SECONDS = 0.05
ENDED_BADLY = ("FAILED", "TIMED_OUT", "ABORTED")


@dataclass(frozen=True)
class Readings:
    """The tests' own dataset, `same_key: append`."""

    name: str = "readings"
    header: str = "station,day,reading"
    is_replaced: bool = False
    view: str = "select station, day, readings, total from mart.daily_readings"

    def row(self, seed: int) -> str:
        return f"station-{seed % 3},2026-01-{seed % 5 + 1:02},{seed % 11 - 5}"

    def aggregate(self, rows: Iterator[dict[str, str]]) -> Aggregates:
        sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
        for row in rows:
            group = sums[row["station"], row["day"]]
            group[0] += 1
            group[1] += int(row["reading"])
        return {key: tuple(values) for key, values in sums.items()}


@dataclass(frozen=True)
class Flights:
    """The product's dataset, `same_key: replace`."""

    name: str = "flights"
    header: str = (
        "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
        "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
    )
    is_replaced: bool = True
    view: str = (
        "select flight_date, carrier, origin, destination, flights, cancelled, "
        "delayed_departures, departure_delay_minutes, arrival_delay_minutes, distance_miles "
        "from mart.daily_route_performance"
    )

    def row(self, seed: int) -> str:
        leaves = "NA" if seed % 7 == 0 else "517"
        late = "NA" if leaves == "NA" else str(seed % 40 - 10)
        place = f"{'UA' if seed % 2 else 'B6'},1545,N14228,EWR,{'IAH' if seed % 3 else 'MIA'}"
        return f"2013,1,{seed % 5 + 1},{leaves},515,{late},830,819,{late},{place},227,1400,5,15,x"

    def aggregate(self, rows: Iterator[dict[str, str]]) -> Aggregates:
        sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * 6)
        for row in rows:
            date = f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}"
            group = sums[date, row["carrier"], row["origin"], row["dest"]]
            left, arrived = (
                0 if row[name] == "NA" else int(row[name]) for name in ("dep_delay", "arr_delay")
            )
            values = (1, row["dep_time"] == "NA", left > 15, left, arrived, int(row["distance"]))
            for place, value in enumerate(values):
                group[place] += value
        return {key: tuple(values) for key, values in sums.items()}


Dataset = Readings | Flights
DATASETS: dict[str, Dataset] = {"readings": Readings(), "flights": Flights()}


@dataclass
class Version:
    """One object version that was put under raw/. `is_good`: the load procedure can read it."""

    dataset: Dataset
    key: str
    version_id: str
    body: bytes
    is_good: bool
    uploaded_at: datetime
    file_id: str
    etag: str
    is_destroyed: bool = False


@dataclass
class World:
    """The uploads so far, and the system they went into."""

    pipeline: Pipeline
    versions: list[Version] = field(default_factory=list)
    business: list[Mail] = field(default_factory=list)
    support: list[Mail] = field(default_factory=list)
    reruns: list[str] = field(default_factory=list)
    earlier: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.earlier = {execution["executionArn"] for execution in self.all_executions()}

    # ---- acting ----

    def put(self, dataset: str, name: str, seed: int, rows: int = 2, bad: str = "") -> Version:
        """Upload a version of raw/<dataset>/<name>; `bad` is what it holds instead of rows."""
        kind = DATASETS[dataset]
        lines = [kind.header, *(kind.row(seed + number) for number in range(rows))]
        body = (bad or "\n".join(lines) + "\n").encode()
        key = f"raw/{dataset}/{name}"
        bucket = self._bucket("Raw")
        version_id = self.pipeline.upload(key, body)
        head = self.pipeline.stack.s3.head_object(Bucket=bucket, Key=key, VersionId=version_id)
        identity = json.dumps([bucket, key, version_id])
        version = Version(
            dataset=kind,
            key=key,
            version_id=version_id,
            body=body,
            is_good=not bad,
            uploaded_at=head["LastModified"],
            file_id=hashlib.sha256(identity.encode()).hexdigest()[:32],
            etag=head["ETag"].strip('"'),
        )
        self.versions.append(version)
        return version

    def destroy(self, version: Version) -> None:
        """Delete the version for good, as its owner may."""
        self.pipeline.stack.s3.delete_object(
            Bucket=self._bucket("Raw"), Key=version.key, VersionId=version.version_id
        )
        version.is_destroyed = True

    def settle(self) -> int:
        """Do what operators and the schedule do until nothing is left to do; answers the rounds.

        Loads that wait for an operator are run again (what was in their way is gone by now), the
        sweeper runs, and what they started is waited for.
        """
        for round_number in range(1, 15):
            self.wait_until_quiet()
            reruns = self._rerun_what_waits_for_an_operator()
            outcome = self.pipeline.sweep()
            self.wait_until_quiet()
            did = [value for name, value in outcome.items() if name not in ("held", "is_complete")]
            if not reruns and not any(did):
                return round_number
        raise AssertionError(f"never quiet: {outcome}, {reruns}")

    def wait_until_quiet(self) -> None:
        deadline = time.monotonic() + QUIET_TIMEOUT_SECONDS
        quiet = 0
        while quiet < 10:
            assert time.monotonic() < deadline, self._busy()
            quiet = 0 if self._busy() else quiet + 1
            time.sleep(POLL_SECONDS)

    def _busy(self) -> list[str]:
        running = [e["name"] for e in self.all_executions() if e["status"] == "RUNNING"]
        waiting = self.pipeline.messages_waiting()
        return running + [f"{waiting} messages"] * bool(waiting)

    def _rerun_what_waits_for_an_operator(self) -> list[str]:
        """Run again the newest attempt of each load of which a file still lies in raw/."""
        waiting = {(key, version) for key, version, _ in self._objects("Raw", "raw/")}
        newest: dict[str, dict[str, Any]] = {}
        for execution in self.executions():
            load_id = json.loads(self.pipeline.describe(execution["executionArn"])["input"])[
                "load_id"
            ]
            newest[load_id] = execution
        before = len(self.reruns)
        for load_id, execution in newest.items():
            described = self.pipeline.describe(execution["executionArn"])
            files = json.loads(described["input"])["files"]
            is_waiting = any((file["key"], file["version_id"]) in waiting for file in files)
            if described.get("error") == "OperatorError" and is_waiting:
                attempt = execution["name"].removeprefix(load_id).removeprefix("-") or "1"
                name = f"{load_id}-{int(attempt) + 1}"
                self.pipeline.stack.step_functions.start_execution(
                    stateMachineArn=self.pipeline.stack.outputs["LoadStateMachineArn"],
                    name=name,
                    input=described["input"],
                )
                self.reruns.append(name)
        return self.reruns[before:]

    # ---- looking ----

    def executions(self) -> list[dict[str, Any]]:
        """The executions of the load machine since this world began, oldest first."""
        return self._executions("LoadStateMachineArn")

    def all_executions(self) -> list[dict[str, Any]]:
        """Those of both machines."""
        return self.executions() + self._executions("AbandonedLoadStateMachineArn")

    def _executions(self, machine: str) -> list[dict[str, Any]]:
        found = self.pipeline.stack.executions(machine)
        return [execution for execution in found if execution["executionArn"] not in self.earlier]

    def violations(self) -> list[str]:
        """Every way in which a quiet system differs from what it should be."""
        self.business += self.pipeline.mails("Business")
        self.support += self.pipeline.mails("Support")
        return [
            *self._misplaced(),
            *self._miscounted(),
            *self._misrecorded(),
            *self._untold(),
            *self._left_over(),
        ]

    def _misplaced(self) -> Iterator[str]:
        """1: each version is in exactly one place, with the bytes that were uploaded."""
        places: dict[str, list[str]] = defaultdict(list)
        reasons = set()
        by_version = {(v.key, v.version_id): v.file_id for v in self.versions}
        for key, version_id, _ in self._objects("Raw", "raw/"):
            places[by_version[key, version_id]].append("raw")
        bodies = {}
        for key, _, is_latest in self._objects("Archive", ""):
            if not is_latest:
                continue  # the same copy, made twice
            place, *_, file_id, name = key.split("/")
            if name.endswith(".reason.json"):
                reasons.add(file_id)
                continue
            places[file_id].append(place)
            bodies[file_id] = self.pipeline.body("Archive", key)
        for version in self.versions:
            expected = self._expected_places(version)
            if places[version.file_id] not in expected:
                yield f"{version.key}: in {places[version.file_id]} instead of {expected}"
            if bodies.get(version.file_id, version.body) != version.body:
                yield f"{version.key}: its bytes have changed"
            if not version.is_good and version.file_id not in reasons:
                yield f"{version.key}: refused without a reason beside it"

    def _expected_places(self, version: Version) -> list[list[str]]:
        if version.is_destroyed:
            # Where it was caught in time, else nowhere.
            return [[], ["archive"], ["quarantine"]]
        return [["archive"]] if version.is_good else [["quarantine"]]

    def _miscounted(self) -> Iterator[str]:
        """2: the view equals an independent computation over the versions that count."""
        counting = self._counting()
        for dataset in DATASETS.values():
            bodies = [v.body for v in counting if v.dataset == dataset]
            if not any(v.dataset == dataset for v in self.versions):
                continue
            expected = dataset.aggregate(row for body in bodies for row in _rows(body))
            width = len(next(iter(expected), ())) or 2
            shown: Aggregates = {
                tuple(str(value) for value in row[:width]): tuple(row[width:])
                for row in self.pipeline.query(dataset.view)
            }
            if shown != expected:
                differences = {
                    key: (shown.get(key), expected.get(key))
                    for key in shown.keys() | expected.keys()
                    if shown.get(key) != expected.get(key)
                }
                yield f"{dataset.name}: shown and expected differ: {differences}"

    def _counting(self) -> list[Version]:
        recorded = {row[0]: row[1] for row in self._ledger("file_id, sequencer")}
        known = [
            version
            for version in self.versions
            if version.is_good and (not version.is_destroyed or version.file_id in recorded)
        ]
        newest: dict[str, Version] = {}
        for version in known:
            if not version.dataset.is_replaced:
                newest[version.file_id] = version
                continue
            held = newest.setdefault(version.key, version)
            if self._rank(version, recorded) > self._rank(held, recorded):
                newest[version.key] = version
        return list(newest.values())

    def _rank(self, version: Version, sequencers: dict[str, str]) -> tuple[Any, ...]:
        # What S3 said of the version, as the ledger has it: by notification, or none by listing.
        sequencer = (sequencers.get(version.file_id) or "").ljust(64, "0")
        return (version.uploaded_at.replace(microsecond=0), sequencer, version.file_id)

    def _misrecorded(self) -> Iterator[str]:
        """3: the ledger has each loaded version once, with its load, and its rows add up."""
        counting = {version.file_id for version in self._counting()}
        rows = self._ledger("file_id, status, source_rows, rejected_rows, load_id")
        times = Counter(row[0] for row in rows)
        known = {version.file_id: version for version in self.versions}
        loads = dict(self.pipeline.query("select load_id, source_rows from etl.loads"))
        read: Counter[str] = Counter()
        for file_id, status, source_rows, rejected_rows, load_id in rows:
            version = known[file_id]
            read[load_id] += source_rows
            if times[file_id] != 1 or load_id not in loads or rejected_rows:
                yield f"{version.key}: {times[file_id]} ledger rows, load {load_id}"
            if not version.is_good:
                yield f"{version.key}: refused, and in the ledger"
            if (status == "loaded") != (file_id in counting):
                yield f"{version.key}: {status} in the ledger"
            if status == "loaded" and source_rows != len(list(_rows(version.body))):
                yield f"{version.key}: {source_rows} rows read"
        for version in self.versions:
            if version.is_good and not version.is_destroyed and not times[version.file_id]:
                yield f"{version.key}: not in the ledger"
        yield from (
            f"load {load_id}: {rows_read} rows read, {read[load_id]} of its files"
            for load_id, rows_read in loads.items()
            if rows_read != read[load_id]
        )

    def _untold(self) -> Iterator[str]:
        """4: business heard of what was loaded and of nothing else, support of what went wrong."""
        announced = "\n".join(mail.message for mail in self.business) + "\n"
        told = "\n".join(mail.message for mail in self.support) + "\n"
        recorded = {row[0] for row in self._ledger("file_id")}
        for version in self.versions:
            if (version.file_id in recorded) != (f"  {version.key}\n" in announced):
                yield f"{version.key}: business was told otherwise than the ledger says"
            refusals = [m for m in self.support if "Class: DataError" in m.message]
            named = sum(f"File at fault:\n  {version.key}\n" in mail.message for mail in refusals)
            if not version.is_good and not named:
                yield f"{version.key}: refused without a word to support"
        for execution in self.executions():
            if execution["status"] in ENDED_BADLY and execution["executionArn"] not in told:
                yield f"{execution['name']}: {execution['status']} without a word to support"

    def _left_over(self) -> Iterator[str]:
        """5: everything has ended, and nothing lies about."""
        for execution in self.all_executions():
            if execution["status"] == "RUNNING":
                yield f"{execution['name']}: still running"
        yield from (f"{key}: left in staging" for key, *_ in self._current("Raw", "staging/"))
        glue = self.pipeline.stack.cloud.client("glue")
        database = self.pipeline.stack.outputs["GlueDatabaseName"]
        for name in {version.dataset.name for version in self.versions}:
            pages = glue.get_paginator("get_partitions").paginate(
                DatabaseName=database, TableName=name
            )
            for partition in (entry for page in pages for entry in page["Partitions"]):
                yield f"{name}: partition {partition['Values'][0]} is left"
        active = self.pipeline.query(
            "select query from pg_stat_activity "
            "where usename = 'etl_loader' and state <> 'idle' and pid <> pg_backend_pid()"
        )
        yield from (f"still running in the warehouse: {query}" for (query,) in active)

    def _ledger(self, columns: str) -> list[tuple[Any, ...]]:
        return self.pipeline.query(f"select {columns} from etl.loaded_files")

    def _bucket(self, name: str) -> str:
        return self.pipeline.stack.outputs[f"{name}BucketName"]

    def _current(self, bucket: str, prefix: str) -> list[tuple[str, str, bool]]:
        return [found for found in self._objects(bucket, prefix) if found[2]]

    def _objects(self, bucket: str, prefix: str) -> list[tuple[str, str, bool]]:
        """Key, version and whether it is the latest, of every version under a prefix."""
        pages = self.pipeline.stack.s3.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket(bucket), Prefix=prefix
        )
        return [
            (version["Key"], version["VersionId"], version["IsLatest"])
            for page in pages
            for version in page.get("Versions", [])
        ]


def _rows(body: bytes) -> Iterator[dict[str, str]]:
    return iter(csv.DictReader(io.StringIO(body.decode())))
