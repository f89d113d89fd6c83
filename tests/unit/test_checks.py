"""tools/checks.py: what a check found, and how it is printed."""

import io
import shlex
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.parsers import ResponseParserError

from tools import checks
from tools.checks import Result, State
from tools.stacks import StackError

LONG = Result(
    "subnets",
    State.RED,
    "vpc-0123456789abcdef0 has subnets in two zones only, and a workgroup needs three of them.",
    "Give three subnets in three zones with SubnetIds, or deploy into another region than this.",
    "aws ec2 describe-subnets --filters 'Name=vpc-id, of which,Values=vpc-0123456789abcdef0' "
    '--query "Subnets[].[SubnetId, AvailabilityZone]" --output table --region us-west-1',
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def fails_with(error: Exception) -> Callable[[], Result]:
    def check() -> Result:
        raise error

    return check


@pytest.mark.parametrize("columns", [80, 60])
def test_lines_fit_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    found = list(checks.lines(LONG))

    assert found[0].startswith("red    subnets          vpc-0123456789abcdef0 has")
    texts = [line for line in found if "'" not in line]
    assert max(map(len, texts)) <= columns
    assert {line[:7].strip() for line in found} == {"red", ""}


def test_lines_without_a_terminal_are_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    assert max(map(len, checks.lines(LONG))) in range(70, 81)


def test_wrapped_command_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = "\n".join(checks.lines(LONG))

    pasted = text.partition("$ ")[2]

    assert "\\\n" in pasted
    assert shlex.split(pasted.replace("\\\n", "")) == shlex.split(LONG.command)


def test_each_result_is_printed_and_counted() -> None:
    stream = io.StringIO()
    results = [Result("one", State.GREEN, "Fine."), Result("two", State.AMBER, "Unclear."), LONG]

    assert checks.show(iter(results), stream=stream) == results

    assert stream.getvalue().splitlines()[0] == "green  one              Fine."
    assert stream.getvalue().splitlines()[-1] == "1 green, 1 amber, 1 red"
    assert "\033" not in stream.getvalue()


def test_states_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    checks.show([Result("one", State.AMBER, "Unclear.")], stream=stream)

    assert stream.getvalue().startswith("\033[33mamber\033[0m  one")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    checks.show([LONG], stream=stream)

    assert "\033" not in stream.getvalue()


def test_only_red_fails() -> None:
    fine = [Result("one", State.GREEN, "Fine."), Result("two", State.AMBER, "Unclear.")]

    assert checks.exit_code(fine) == 0
    assert checks.exit_code([*fine, LONG]) == 1


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "x"}}, "ListBuckets"),
            "Could not ask: ListBuckets answers AccessDenied.",
        ),
        (
            EndpointConnectionError(endpoint_url="https://sts.example"),
            'Could not ask: Could not connect to the endpoint URL: "https://sts.example".',
        ),
        (
            ResponseParserError("Unable to parse response"),
            "Could not ask: what answers is not the service that was asked.",
        ),
        (StackError("No such stack."), "Could not ask: No such stack."),
    ],
)
def test_question_without_an_answer_is_amber(error: Exception, text: str) -> None:
    assert checks.run("buckets", fails_with(error)) == Result("buckets", State.AMBER, text)


def test_fault_of_a_check_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        checks.run("buckets", fails_with(KeyError("Buckets")))
