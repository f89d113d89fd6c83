"""A random life of a pipeline: what people, S3, SQS, the services and the power do to it.

Hypothesis draws the steps. The test stands in for the event source: it holds the messages that the
queue gives out, and hands them to the deployed function in batches of any shape, in any order, as
often as it likes. At each quiet point it plays operation, and asks the oracle.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.faults.datasets import DATASETS
from tests.faults.inject import Fault, Injector, Kind
from tests.faults.invariants import Version
from tests.faults.laboratory import Laboratory
from tests.faults.matrix import all_tasks
from tests.faults.operation import NotQuietError
from tests.operating import enable_queue, received, sweep

NAMES = ("a.csv", "b.csv", "c (1).csv")
SHAPES = ("good", "some rows rejected", "header only", "bad")
# Nothing of a load that ended just now may be cleared up: its statement may still read it.
LEFTOVER_MINUTES = 60.0
MAX_STRIKES = 8
# So long faults may go on while nothing is done.
STRIKE_SECONDS = 5.0
STEPS = 20
RUNS_PER_SEED = 4

T = TypeVar("T")
Upload = tuple[str, str, str]

PLACES = st.lists(st.integers(0, 20), min_size=1, max_size=6)
UPLOADS = st.lists(
    st.tuples(st.sampled_from(sorted(DATASETS)), st.sampled_from(NAMES), st.sampled_from(SHAPES)),
    min_size=1,
    max_size=6,
)
FAULTS = st.lists(
    st.tuples(
        st.sampled_from(all_tasks()), st.sampled_from(list(Kind)), st.integers(1, MAX_STRIKES)
    ),
    min_size=1,
    max_size=4,
)


class RunFailedError(BaseException):
    """An invariant does not hold, or the pipeline does not come to rest.

    No Exception: Hypothesis would try the same steps again, and no life passes twice alike.
    """


@dataclass
class Tally:
    """What random runs have done, and what the last of them did, step by step."""

    counts: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)

    def step(self, name: str, detail: str = "") -> None:
        self.counts["steps"] += 1
        self.counts[name] += 1
        self.trace.append(f"{name}: {detail}" if detail else name)


class RandomRun(RuleBasedStateMachine):
    """One life, from an emptied stack to a last quiet point."""

    laboratory: ClassVar[Laboratory]
    tally: ClassVar[Tally]

    def __init__(self) -> None:
        super().__init__()
        self.laboratory.reset()
        self.stack = self.laboratory.stack
        self.world = self.laboratory.world
        self.operation = self.laboratory.operation
        self.injector = Injector(self.stack.cloud)
        self.striking = ExitStack()
        self.striking.enter_context(self.injector.active())
        self.held: list[str] = []
        self.seeds = 0
        self.has_failed = False
        self.tally.counts["runs"] += 1
        self.tally.trace.clear()
        enable_queue(self.stack, is_on=False)

    # ---------------------------------------------------------------- people

    # Hypothesis leaves rules out of a run, to get further with the others; never the first ones.
    @initialize(uploads=UPLOADS)
    def upload_first(self, uploads: list[Upload]) -> None:
        self.upload(uploads)

    @rule(uploads=UPLOADS)
    def upload(self, uploads: list[Upload]) -> None:
        """Put files, often under keys that have some."""
        for dataset, name, shape in uploads:
            self.seeds += 1
            version = self.world.put(f"raw/{dataset}/{name}", _body(dataset, shape, self.seeds))
            self._note("upload", f"{version}, {shape}")

    @rule(number=st.integers(0, 20))
    def delete(self, number: int) -> None:
        if version := _pick(self._versions(), number):
            self._note("delete", version.key)
            self.world.delete(version.key)

    @rule(number=st.integers(0, 20))
    def destroy(self, number: int) -> None:
        if version := _pick(self._versions(), number):
            self._note("destroy", str(version))
            self.world.destroy(version)

    @rule(number=st.integers(0, 20))
    def abort(self, number: int) -> None:
        if arn := _pick(self.laboratory.observer.running(), number):
            self._note("abort", arn.rpartition(":")[2])
            self.stack.step_functions.stop_execution(executionArn=arn)

    # ---------------------------------------------------------------- the event source

    @rule(places=PLACES, is_last=st.booleans())
    def deliver(self, places: list[int], is_last: bool) -> None:
        """Hand some held messages over; those that are not deleted come again."""
        self._deliver(places, is_last=is_last)

    @rule(uploads=UPLOADS, places=PLACES, is_last=st.booleans())
    def upload_and_deliver(self, uploads: list[Upload], places: list[int], is_last: bool) -> None:
        self.upload(uploads)
        self._deliver(places, is_last=is_last)

    def _deliver(self, places: list[int], *, is_last: bool) -> None:
        self.held += received(self.stack.sqs, self.stack.outputs["IngestQueueUrl"])
        chosen = [place % len(self.held) for place in places if self.held]
        if not chosen:
            return
        bodies = [self.held[place] for place in chosen]
        self._note("deliver", f"{len(bodies)} messages{'' if is_last else ', kept'}")
        failed = self._hand_over(bodies)
        done = {chosen[i] for i in range(len(chosen)) if i not in failed and is_last}
        self.held = [body for place, body in enumerate(self.held) if place not in done]

    # ---------------------------------------------------------------- services and the power

    @rule(faults=FAULTS)
    def break_tasks(self, faults: list[tuple[tuple[str, str], Kind, int]]) -> None:
        for task, kind, times in faults:
            self._note("break", f"{'/'.join(task)}: {kind}, {times} times")
            self.injector.add(Fault(*task, kind, runs="", times=times))

    @rule(seconds=st.floats(0, 0.2))
    def crash_warehouse(self, seconds: float) -> None:
        self._note("crash", f"for {seconds:.2f} s")
        self.stack.warehouse.crash()
        time.sleep(seconds)
        self.stack.warehouse.restart()

    # ---------------------------------------------------------------- operation

    @rule()
    def sweep_now(self) -> None:
        self._note("sweep")
        sweep(self.stack, leftover_minutes=LEFTOVER_MINUTES)

    @rule(seconds=st.floats(0, 1))
    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    @rule(number=st.integers(0, 20))
    def take_back(self, number: int) -> None:
        """Revert a file, in a quiet system."""
        self._come_to_rest()
        ledger = self.laboratory.observer.look().ledger_files
        counting = sorted(row.file_id for row in ledger if row.status == "loaded")
        if file_id := _pick(counting, number):
            self._note("revert", str(self.world.versions[file_id]))
            self.laboratory.revert_file(file_id)
            self._come_to_rest()

    def teardown(self) -> None:
        try:
            if not self.has_failed:
                self._come_to_rest()
        finally:
            self.striking.close()
            enable_queue(self.stack, is_on=True)

    def _come_to_rest(self) -> None:
        """Let all faults pass, operate as usual, and see what holds. Raises RunFailedError."""
        self._note("quiet point")
        try:
            self._operate()
            found = self.laboratory.violations()
        except NotQuietError as error:
            found = [str(error)]
        if found:
            self.has_failed = True
            raise RunFailedError("\n".join([*found, "", "Steps:", *self.tally.trace]))

    def _operate(self) -> None:
        url = self.stack.outputs["IngestQueueUrl"]
        for body in self.held:
            self.stack.sqs.send_message(QueueUrl=url, MessageBody=body)
        self.held.clear()
        enable_queue(self.stack, is_on=True)
        with suppress(NotQuietError):
            self.operation.wait_until_quiet(STRIKE_SECONDS)
        self.tally.counts["faults struck"] += self.injector.clear()
        self.operation.settle()
        enable_queue(self.stack, is_on=False)

    # ---------------------------------------------------------------- details

    def _note(self, name: str, detail: str = "") -> None:
        self.tally.step(name, detail)

    def _versions(self) -> list[Version]:
        return list(self.world.versions.values())

    def _hand_over(self, bodies: list[str]) -> set[int]:
        """Invoke the function as SQS's poller does; answers which messages are to come again."""
        records = [_sqs_record(str(number), body) for number, body in enumerate(bodies)]
        answer = self.stack.cloud.client("lambda").invoke(
            FunctionName=self.stack.outputs["StartLoadsFunctionName"],
            Payload=json.dumps({"Records": records}),
        )
        if "FunctionError" in answer:
            return set(range(len(bodies)))
        outcome: dict[str, Any] = json.loads(answer["Payload"].read())
        return {int(item["itemIdentifier"]) for item in outcome["batchItemFailures"]}


def run_at_random(laboratory: Laboratory, seed_number: int, tally: Tally, runs: int) -> None:
    """`runs` lives that a seed stands for. Raises RunFailedError, which tells the steps."""
    machine = type("SeededRun", (RandomRun,), {"laboratory": laboratory, "tally": tally})
    run = settings(
        max_examples=runs,
        stateful_step_count=STEPS,
        # A life takes seconds, and never passes twice in the same way: nothing to shrink.
        phases=[Phase.generate],
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(seed_number)(machine), settings=run)


def _body(dataset: str, shape: str, number: int) -> bytes:
    made = DATASETS[dataset]
    match shape:
        case "bad":
            return made.bad_file(number)
        case "some rows rejected":
            return made.file(number, rows=4, rejected=2)
        case "header only":
            return made.file(number, rows=0)
        case _:
            return made.file(number)


def _pick(items: Sequence[T], number: int) -> T | None:
    return items[number % len(items)] if items else None


def _sqs_record(message_id: str, body: str) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": message_id,
        "body": body,
        "attributes": {},
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:ingest",
        "awsRegion": "us-east-1",
    }
