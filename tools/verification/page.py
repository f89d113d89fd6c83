"""The page that a verification writes, fit to be attached to an issue."""

import platform
import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten

import boto3

from tools.assumptions import Assumption
from tools.verification.bench import Bench
from tools.verification.finding import Finding, Outcome

# What must not leave the account: numbers, who it was, keys, passwords in connection strings.
_HIDDEN = [
    (re.compile(r"\barn:aws[\w-]*:(?:iam|sts)::\d*:[^\s\"'}]+"), "<principal>"),
    (re.compile(r"\barn:aws[\w-]*:secretsmanager:[^\s\"'}]+"), "<secret>"),
    (re.compile(r"\barn:aws[\w-]*:kms:[^\s\"'}]+"), "<key>"),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}"), "<id>"),
    (re.compile(r"(?i)(password|secret|token)(['\"]?\s*[:=]\s*)\S+"), r"\1\2<hidden>"),
    (re.compile(r"\b(?!127\.)\d{1,3}(?:\.\d{1,3}){3}\b"), "<address>"),
    (re.compile(r"(?<!\d)\d{12}(?!\d)"), "<account>"),
]
EVIDENCE_CHARACTERS = 600


def redacted(text: str) -> str:
    """The text without account ids, principals, secrets, keys and addresses."""
    for pattern, instead in _HIDDEN:
        text = pattern.sub(instead, text)
    return text


def page(bench: Bench, rows: Sequence[Assumption], answers: Mapping[str, Finding]) -> str:
    """Markdown: what was verified, and each assumption with its answer."""
    counts = Counter(answers[row.id].outcome for row in rows if row.id in answers)
    lines = [
        "# Verification",
        "",
        f"{counts[Outcome.HOLDS]} hold, {counts[Outcome.FAILS]} do not, "
        f"{counts[Outcome.UNANSWERED]} are not answered, "
        f"{sum(1 for row in rows if not row.probe)} have no probe.",
        "",
        f"- Commit: {_commit()}",
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- Region: {bench.deployed.region}{_unless_aws(bench)}",
        f"- Warehouse: {bench.deployed.kind}; {bench.about_warehouse or 'no answer'}",
        f"- Spent: {bench.budget.told()}",
        f"- boto3 {boto3.__version__}, Python {platform.python_version()}",
    ]
    for section in dict.fromkeys(row.section for row in rows):
        lines += ["", f"## {section}", "", "| Id | Assumption | Answer | Evidence | To do |"]
        lines.append("| --- | --- | --- | --- | --- |")
        lines += [_line(row, answers.get(row.id)) for row in rows if row.section == section]
    return redacted("\n".join(lines)) + "\n"


def _line(row: Assumption, found: Finding | None) -> str:
    if found is None:
        why = row.reason if not row.probe else "not tried: the verification ended before"
        found = Finding(Outcome.UNANSWERED, why)
    to_do = row.hedge if found.outcome is Outcome.FAILS else "—"
    evidence = shorten(found.evidence, EVIDENCE_CHARACTERS, placeholder=" ...")
    return f"| {row.id} | {row.text} | {found.outcome} | {_cell(evidence)} | {to_do} |"


def _cell(text: str) -> str:
    """Evidence is anybody's text: neither a table nor HTML may come of it."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _unless_aws(bench: Bench) -> str:
    return f" ({bench.stranger})" if bench.stranger else ""


def _commit() -> str:
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "not known"
    return told.stdout.strip()
