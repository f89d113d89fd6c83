"""Every command of the documents is one that its program takes."""

import re
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from tests import commands

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
IN_BLOCKS = [(path, c) for path in DOCUMENTS for c in dict.fromkeys(commands.of_blocks(path))]
IN_SENTENCES = [(path, c) for path in DOCUMENTS for c in dict.fromkeys(commands.of_sentences(path))]


def identified(found: list[tuple[Path, str]]) -> list[Any]:
    return [pytest.param(path, c, id=f"{path.stem}: {c[:60]}") for path, c in found]


TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
PROGRAMS = {"aws", "make", "export", "echo", ".venv/bin/sam", ".ci/run"}
OUTPUTS = {
    *yaml_parse((ROOT / "template.yaml").read_text())["Outputs"],
    *yaml_parse((ROOT / "delivery" / "github.yaml").read_text())["Outputs"],
}


@pytest.mark.parametrize(("path", "command"), identified(IN_BLOCKS))
def test_command_is_of_a_program_that_is_there(path: Path, command: str) -> None:
    program, *rest = commands.words(command)
    is_shell = program in ("while", "done") or re.match(r"\w+=", program)

    assert is_shell or program in PROGRAMS or (ROOT / program).exists()
    if program == "make":
        targets = [word for word in rest if "=" not in word and word not in ("&&", "\\")]
        assert set(targets) <= set(TARGETS)


@pytest.mark.parametrize(
    ("path", "command"), identified([(p, c) for p, c in IN_BLOCKS if c.startswith("aws ")])
)
def test_aws_takes_the_command(path: Path, command: str) -> None:
    assert commands.faults(command) == []


@pytest.mark.parametrize(("path", "command"), identified(IN_SENTENCES))
def test_aws_takes_what_a_sentence_names(path: Path, command: str) -> None:
    left_out = ("missing: ", "without a value: ")

    assert [fault for fault in commands.faults(command) if not fault.startswith(left_out)] == []


@pytest.mark.parametrize(("path", "command"), identified(IN_BLOCKS + IN_SENTENCES))
def test_output_in_the_command_exists(path: Path, command: str) -> None:
    named = [name for name in commands.placeholders(command) if re.match("[A-Z][a-z]+[A-Z]", name)]

    assert set(named) <= OUTPUTS


def test_first_day_was_read() -> None:
    assert len(list(commands.of_blocks(ROOT / "docs/first-day.md"))) > 20


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("aws redshift-data execute --sql x", "no operation redshift-data execute"),
        ("aws redshifts list", "no service redshifts"),
        ("aws sns subscribe --topic-arn a --protocol email --to <b>", "unknown: --to"),
        ("aws sns subscribe --topic-arn a", "missing: --protocol"),
        ("aws logs tail x --until 1h", "unknown: --until"),
        ("aws sns publish --topic-arn", "without a value: --topic-arn"),
        (
            "aws stepfunctions list-executions --state-machine-arn a --status-filter BAD",
            "--status-filter is none of",
        ),
    ],
)
def test_command_that_aws_would_not_take_is_found(command: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in commands.faults(command))
