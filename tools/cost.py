"""What a month of the pipeline costs, by how many files come and how they come.

    python -m tools.cost > docs/cost.md

No bill was measured: what a load asks of each service is counted here, the prices are those of
tools/prices.toml, the settings the template's defaults. tests/pipeline/test_load_cost.py counts
what a load on the laptop cloud asks for.
"""

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]  # it has no types

from tools.prices import PRICES, usd

TEMPLATE: dict[str, Any] = yaml_parse((Path(__file__).parents[1] / "template.yaml").read_text())
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
DAYS = 30
DAY_SECONDS = 86_400
VOLUMES = (10, 1_000, 100_000)

# Assumed; nobody has run this on AWS. The tables say so.
FILE_BYTES = 1_000_000
LOAD_SECONDS = 20.0

# AWS bills a serverless warehouse that wakes up for a minute at least.
LEAST_SECONDS = 60.0
# functions/start_loads/core.py
FILES_PER_LOAD = 100
# A queue's poller in Lambda asks over five connections, for twenty seconds each.
POLLS_PER_DAY = 5 * DAY_SECONDS / 20
# CloudWatch's names that an ordinary load gives a value, for its dataset and over all; and what
# StartLoadsFunction counts of uploads that it ignores, or that went astray.
METRICS = 2 * 8 + 2
# The events of a load's history without their data, which is what the machine logs: of the load, of
# each look at its statement, of each file (in the two maps; the laptop's history lacks most of it).
LOG_BYTES, LOG_BYTES_PER_POLL, LOG_BYTES_PER_FILE = 18_000, 1_700, 4_000


@dataclass(frozen=True)
class Arrivals:
    """How the files of a day come; so how many loads they make, and how long Redshift is awake.

    `bursts`: in so many a day, each within one batch window; None: one by one, evenly.
    """

    name: str
    bursts: int | None = None
    window_seconds: float = 0.0

    def loads(self, files: int) -> float:
        """The loads of a day."""
        if self.bursts:
            bursts = min(self.bursts, files)
            return bursts * math.ceil(files / bursts / FILES_PER_LOAD)
        gathered = max(1.0, files / DAY_SECONDS * self.window_seconds)
        return files / gathered * math.ceil(gathered / FILES_PER_LOAD)

    def awake_seconds(self, files: int) -> float:
        """How long Redshift is awake in a day. Loads of a dataset run one after the other."""
        loads = self.loads(files)
        groups = min(self.bursts, files) if self.bursts else loads
        each = max(LEAST_SECONDS, loads / groups * LOAD_SECONDS)
        return groups * min(each, DAY_SECONDS / groups)


def default(parameter: str) -> float:
    """The template's default of a number."""
    return float(TEMPLATE["Parameters"][parameter]["Default"])


def of_type(kind: str) -> int:
    """How many resources of this type the template has."""
    return sum(body["Type"] == kind for body in RESOURCES.values())


HOURLY = Arrivals("once an hour", bursts=24)
ARRIVALS = (
    HOURLY,
    Arrivals("evenly, `BatchWindowSeconds` 300", window_seconds=300),
    Arrivals(
        f"evenly, `BatchWindowSeconds` {default('BatchWindowSeconds'):.0f} (the default)",
        window_seconds=default("BatchWindowSeconds"),
    ),
)


def polls(seconds: float) -> int:
    """How often a load is asked whether it has ended: after 1 s, 2 s, 4 s ... 30 s each."""
    count, waited, wait = 0, 0.0, 1.0
    while waited < seconds:
        count, waited, wait = count + 1, waited + wait, min(2 * wait, 30.0)
    return max(count, 1)


def transitions(files: float, polls: int) -> float:
    """State transitions of one load."""
    return 19 + 2 * files + 3 * polls


def month(files: int, arrivals: Arrivals) -> dict[str, float]:
    """USD a month by service, for so many files a day."""
    loads = arrivals.loads(files) * DAYS
    files_loaded = files * DAYS
    sweeps = DAYS * 24 * 60 / default("SweepMinutes")
    steps = loads * transitions(files_loaded / loads, polls(LOAD_SECONDS))
    rpu_hours = arrivals.awake_seconds(files) * DAYS / 3600 * default("BaseCapacity")
    invocations = 2 * loads + sweeps
    gigabytes = float(TEMPLATE["Globals"]["Function"]["MemorySize"]) / 1024
    return {
        "Redshift Serverless": rpu_hours * usd("redshift_rpu_hour"),
        "Step Functions": steps * usd("step_functions_transition"),
        # Copies to staging and archive; Spectrum lists a load's folder and reads a file twice, its
        # header and the whole; the sweeper lists raw and staging.
        "S3 requests": (2 * files_loaded + loads + 2 * sweeps) * usd("s3_put")
        + 2 * files_loaded * usd("s3_get"),
        # A notification a file; ten are received, and deleted, at once.
        "SQS": (files_loaded * 1.2 + POLLS_PER_DAY * DAYS) * usd("sqs_request"),
        # StartLoads and MeasureLoads for a load, about a second each.
        "Lambda": invocations * (usd("lambda_request") + gigabytes * usd("lambda_gb_second")),
        "SNS, one reader": loads * (usd("sns_publish") + usd("sns_email")),
        "CloudWatch alarms, dashboard, metrics": of_type("AWS::CloudWatch::Alarm")
        * usd("cloudwatch_alarm")
        + of_type("AWS::CloudWatch::CompositeAlarm") * usd("cloudwatch_composite_alarm")
        + of_type("AWS::CloudWatch::Dashboard") * usd("cloudwatch_dashboard")
        + METRICS * usd("cloudwatch_metric"),
        "CloudWatch logs, X-Ray": (
            loads * (LOG_BYTES + polls(LOAD_SECONDS) * LOG_BYTES_PER_POLL)
            + files_loaded * LOG_BYTES_PER_FILE
        )
        / 1e9
        * usd("cloudwatch_log")
        + (loads + invocations) * usd("xray_trace"),
        "KMS, Secrets Manager, Glue": of_type("AWS::KMS::Key") * usd("kms_key")
        + of_type("AWS::SecretsManager::Secret") * usd("secret")
        # Bucket keys spare S3 its requests; queue, topic and secret ask a few times a load.
        + loads * (10 * usd("kms_request") + 2 * usd("secret_request") + 4 * usd("glue_request")),
    }


def archived(files: int) -> float:
    """USD a month for what one month has archived."""
    return files * DAYS * FILE_BYTES / 1e9 * usd("s3_storage")


def page() -> str:
    """docs/cost.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# What it costs"
    yield ""
    yield (
        f"Computed by `tools/cost.py` (`make cost` writes this page anew) from the list prices of "
        f"{PRICES['as_of']} in `tools/prices.toml`: us-east-1, USD, no free tiers, the template's "
        f"defaults. Assumed, since nobody has run it on AWS: a file is {FILE_BYTES / 1e6:.0f} MB, "
        f"a load takes Redshift {LOAD_SECONDS:.0f} s, one dataset, all files are good, one reader "
        "of the business mail, and what comes within a window comes in one batch. Not in it: your "
        "uploads, your queries, the aggregates' storage, taxes."
    )
    yield ""
    yield "## A month, by how files come"
    yield ""
    yield from _table(
        ["Files a day", *(arrivals.name for arrivals in ARRIVALS)],
        ([f"{files:,}", *(_total(files, arrivals) for arrivals in ARRIVALS)] for files in VOLUMES),
    )
    yield ""
    yield (
        "Files that share a load share its price: what counts is how often the warehouse wakes, "
        f"for a minute at least, at {default('BaseCapacity'):.0f} RPU (`BaseCapacity`; 4 halve "
        "it). Bring files in bursts, or let them wait for each other (`BatchWindowSeconds`). In "
        "brackets: loads a day, and how much of it Redshift is awake. Loads of a dataset run one "
        "after the other, so a day holds no more than it has seconds."
    )
    yield ""
    yield f"## A month by service, files {HOURLY.name}"
    yield ""
    months = [month(files, HOURLY) for files in VOLUMES]
    yield from _table(
        ["USD", *(f"{files:,} files a day" for files in VOLUMES)],
        ([service, *(_usd(of[service]) for of in months)] for service in months[0]),
        ["**Sum**", *(f"**{_usd(sum(of.values()))}**" for of in months)],
        ["a thousand files", *map(_per_thousand, VOLUMES, months)],
    )
    yield ""
    kept = ", ".join(f"{_usd(archived(files))} for {files:,}" for files in VOLUMES)
    yield (
        "The archive keeps every file, so its storage grows: each month adds, to every month that "
        f"follows, {kept} files a day. A lifecycle rule of yours on `archive/` ends that."
    )
    yield ""
    yield (
        "With `KmsKeyArn=aws-managed` the key costs nothing; a workgroup or cluster of yours costs "
        "what it costs you anyway. What stays when a stack is deleted, `make destroy` tells with "
        "its price."
    )


def _table(head: list[str], rows: Iterator[list[str]], *last: list[str]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| --- |{' ---: |' * (len(head) - 1)}"
    for row in (*rows, *last):
        yield f"| {' | '.join(row)} |"


def _total(files: int, arrivals: Arrivals) -> str:
    if arrivals.loads(files) * LOAD_SECONDS > DAY_SECONDS:
        return f"too many loads: {arrivals.loads(files):,.0f}"
    awake = arrivals.awake_seconds(files) / DAY_SECONDS
    total = sum(month(files, arrivals).values())
    return f"{_usd(total)} ({arrivals.loads(files):,.0f}; {awake:.1%})"


def _per_thousand(files: int, of: Mapping[str, float]) -> str:
    return _usd(sum(of.values()) / (files * DAYS / 1000))


def _usd(amount: float) -> str:
    return f"{amount:,.2f}"


if __name__ == "__main__":
    sys.stdout.write(page())
