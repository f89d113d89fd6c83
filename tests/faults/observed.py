"""What can be seen of a deployed pipeline from outside, at one moment."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from local.cloud import REGION
from local.sdk_tasks import RoleClients
from local.stack import Stack
from tests.faults.datasets import Dataset, Grain, Measures
from tests.operating import Mail, Mailbox, messages_in

REASON_SUFFIX = ".reason.json"
ACTIVE_STATEMENTS = ("SUBMITTED", "PICKED", "STARTED")
MACHINES = ("LoadStateMachineArn", "AbandonedLoadStateMachineArn")


@dataclass(frozen=True)
class Execution:
    """An execution of the load machine; `stopped_at` is None while it runs."""

    arn: str
    name: str
    status: str
    started_at: datetime
    stopped_at: datetime | None = None
    error: str = ""
    cause: str = ""
    input: str = "{}"
    output: str = "{}"

    @property
    def load_id(self) -> str:
        return str(json.loads(self.input).get("load_id", ""))

    @property
    def file_ids(self) -> frozenset[str]:
        return frozenset(file["file_id"] for file in json.loads(self.input).get("files", []))

    @property
    def told_by(self) -> str:
        """The execution that told support of this one's cause; "" where it told of it itself."""
        _, _, teller = self.cause.rpartition("support was told of this cause by ")
        return teller.rstrip(")") if teller != self.cause else ""

    @property
    def handed_on(self) -> str:
        """How it has passed its files on: `split` or `requeued`; "" if it has not."""
        status = str(json.loads(self.output or "{}").get("status", ""))
        return status if status in ("split", "requeued") else ""


@dataclass(frozen=True)
class LedgerFile:
    """A row of etl.loaded_files."""

    file_id: str
    dataset: str
    load_id: str
    key: str
    version_id: str
    sequencer: str
    uploaded_at: datetime | None
    status: str
    source_rows: int
    rejected_rows: int


@dataclass(frozen=True)
class LedgerLoad:
    """A row of etl.loads."""

    load_id: str
    dataset: str
    run_id: str
    status: str
    files_loaded: int
    source_rows: int
    rejected_rows: int


@dataclass(frozen=True)
class Observed:
    """All that the invariants are about. Objects are told by the file_id in their key."""

    raw: frozenset[tuple[str, str]] = frozenset()
    archived: Mapping[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    quarantined: Mapping[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    reasons: Mapping[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    ledger_files: tuple[LedgerFile, ...] = ()
    ledger_loads: tuple[LedgerLoad, ...] = ()
    views: Mapping[str, dict[Grain, Measures]] = field(default_factory=dict)
    by_file: Mapping[str, dict[str, int]] = field(default_factory=dict)
    executions: tuple[Execution, ...] = ()
    running: tuple[str, ...] = ()
    business: tuple[Mail, ...] = ()
    support: tuple[Mail, ...] = ()
    partitions: tuple[str, ...] = ()
    staged: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    sessions: int = 0
    queued: int = 0
    dead_letters: int = 0


class Observer:
    """Looks at a stack, with the rights of root and, for statements, of the load machine's role.

    Bodies and executions are read once: neither changes after its end.
    """

    def __init__(self, stack: Stack, datasets: Mapping[str, Dataset]) -> None:
        self.stack = stack
        self.datasets = datasets
        self._mailboxes = {reader: Mailbox(stack, reader) for reader in ("Business", "Support")}
        self._mails: dict[str, list[Mail]] = {reader: [] for reader in self._mailboxes}
        self._bodies: dict[tuple[str, str, datetime], bytes] = {}
        self._ended: dict[str, Execution] = {}
        self._forgotten: set[str] = set()
        self._machines = [stack.outputs[machine] for machine in MACHINES]
        machine = stack.step_functions.describe_state_machine(stateMachineArn=self._machines[0])
        clients = RoleClients(stack.cloud.endpoint_url, REGION)
        self._redshift_data = clients.client("redshift-data", machine["roleArn"], self._machines[0])

    def look(self) -> Observed:
        archived, quarantined, reasons = self._kept()
        # Mails last: what is seen to have happened has been told by then.
        return Observed(
            raw=frozenset(self.raw_versions()),
            archived=archived,
            quarantined=quarantined,
            reasons=reasons,
            executions=tuple(self.executions()),
            running=tuple(self.running()),
            partitions=tuple(self.partitions()),
            staged=tuple(self.stack.keys("RawBucketName", "staging/")),
            statements=tuple(self.statements()),
            queued=messages_in(self.stack, "IngestQueueUrl"),
            dead_letters=messages_in(self.stack, "IngestDeadLetterQueueUrl"),
            **self._warehouse(),
            business=self._all_mails("Business"),
            support=self._all_mails("Support"),
        )

    def forget(self) -> None:
        """Overlook from now on the executions and the mails that there have been."""
        self._forgotten |= {listed["executionArn"] for listed in self.stack.executions()}
        for reader in self._mails:
            self._all_mails(reader)
            self._mails[reader].clear()

    def is_quiet(self) -> bool:
        """Whether nothing is under way. What is about to start is not seen: ask again."""
        return not (
            messages_in(self.stack, "IngestQueueUrl") or self.running() or self.statements()
        )

    def raw_versions(self) -> Iterator[tuple[str, str]]:
        pages = self.stack.s3.get_paginator("list_object_versions").paginate(
            Bucket=self.stack.outputs["RawBucketName"], Prefix="raw/"
        )
        for page in pages:
            for version in page.get("Versions", []):
                yield version["Key"], version["VersionId"]

    def executions(self) -> list[Execution]:
        """Of the load machine, oldest first."""
        return [
            self._describe(listed)
            for listed in self.stack.executions()
            if listed["executionArn"] not in self._forgotten
        ]

    def running(self) -> list[str]:
        """The ARNs of running executions of either machine."""
        pages = self.stack.step_functions.get_paginator("list_executions")
        return [
            execution["executionArn"]
            for machine in self._machines
            for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING")
            for execution in page["executions"]
        ]

    def partitions(self) -> Iterator[str]:
        glue = self.stack.cloud.client("glue")
        database = self.stack.outputs["GlueDatabaseName"]
        for dataset in self.datasets:
            pages = glue.get_paginator("get_partitions").paginate(
                DatabaseName=database, TableName=dataset
            )
            for page in pages:
                yield from (partition["Values"][0] for partition in page["Partitions"])

    def statements(self) -> list[str]:
        """The names of the statements of loads that have yet to end."""
        pages = self._redshift_data.get_paginator("list_statements")
        return [
            statement["StatementName"]
            for status in ACTIVE_STATEMENTS
            for page in pages.paginate(Status=status)
            for statement in page["Statements"]
        ]

    def statement_statuses(self, name: str) -> list[str]:
        """What became of the statements of a load's run, in the order of submission."""
        paginator = self._redshift_data.get_paginator("list_statements")
        pages = paginator.paginate(StatementName=name, Status="ALL")
        found = [statement for page in pages for statement in page["Statements"]]
        found.sort(key=lambda statement: statement["CreatedAt"])
        return [statement["Status"] for statement in found]

    def _all_mails(self, reader: str) -> tuple[Mail, ...]:
        """Since the beginning, in the order in which they came."""
        self._mails[reader] += self._mailboxes[reader].new_mails()
        return tuple(self._mails[reader])

    def _describe(self, listed: Mapping[str, Any]) -> Execution:
        arn = listed["executionArn"]
        if arn not in self._ended:
            found = self.stack.step_functions.describe_execution(executionArn=arn)
            execution = Execution(
                arn=arn,
                name=found["name"],
                status=found["status"],
                started_at=found["startDate"],
                stopped_at=found.get("stopDate"),
                error=found.get("error", ""),
                cause=found.get("cause", ""),
                input=found["input"],
                output=found.get("output") or "{}",
            )
            if execution.status == "RUNNING":
                return execution
            self._ended[arn] = execution
        return self._ended[arn]

    def _kept(self) -> list[dict[str, list[tuple[str, bytes]]]]:
        """Archive, quarantine and reasons."""
        kept: list[dict[str, list[tuple[str, bytes]]]] = [{}, {}, {}]
        bucket = self.stack.outputs["ArchiveBucketName"]
        pages = self.stack.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for item in (item for page in pages for item in page.get("Contents", [])):
            key = item["Key"]
            if key.startswith("incidents/"):
                continue
            place = 0 if key.startswith("archive/") else 2 if key.endswith(REASON_SUFFIX) else 1
            [*_, file_id, _name] = key.split("/")
            body = self._body(bucket, item)
            kept[place].setdefault(file_id, []).append((key, body))
        return kept

    def _body(self, bucket: str, item: Mapping[str, Any]) -> bytes:
        version = (item["Key"], item["ETag"], item["LastModified"])
        if version not in self._bodies:
            answer = self.stack.s3.get_object(Bucket=bucket, Key=item["Key"])
            self._bodies[version] = answer["Body"].read()
        return self._bodies[version]

    def _warehouse(self) -> dict[str, Any]:
        user, password = self.stack.credentials("AdminSecretArn")
        with self.stack.warehouse.connect(user, password) as connection:

            def rows(sql: str) -> list[tuple[Any, ...]]:
                return connection.execute(sql.encode()).fetchall()

            return {
                "ledger_files": tuple(_ledger_file(row) for row in rows(LEDGER_FILES)),
                "ledger_loads": tuple(LedgerLoad(*row) for row in rows(LEDGER_LOADS)),
                "views": {
                    name: dataset.queried(rows(dataset.view))
                    for name, dataset in self.datasets.items()
                },
                "by_file": {
                    name: {file_id: int(count) for file_id, count in rows(dataset.by_file)}
                    for name, dataset in self.datasets.items()
                },
                "sessions": rows(SESSIONS)[0][0],
            }


LEDGER_FILES = """
    select file_id, dataset, load_id, object_key, version_id, sequencer, uploaded_at, status,
        source_rows, rejected_rows
    from etl.loaded_files
"""
LEDGER_LOADS = """
    select load_id, dataset, run_id, status, files_loaded, source_rows, rejected_rows
    from etl.loads
"""
SESSIONS = "select count(*) from pg_stat_activity where usename = 'etl_loader'"


def _ledger_file(row: tuple[Any, ...]) -> LedgerFile:
    file = LedgerFile(*row)
    return replace(
        file,
        version_id=file.version_id or "",
        sequencer=file.sequencer or "",
        uploaded_at=file.uploaded_at.replace(tzinfo=UTC) if file.uploaded_at else None,
    )
