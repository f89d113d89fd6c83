"""The documents tell of today's code."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

from local import sam_local

ROOT = Path(__file__).parents[2]
# For users, and for who changes the project.
MANUAL = "".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "events/README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
PARAMETERS = yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]
STATES = yaml.safe_load((ROOT / "statemachine/load.asl.yaml").read_text())["States"]
EVENTS = sorted((ROOT / "events").rglob("*.json"))


@pytest.mark.parametrize(
    "target", [name for name in TARGETS if name not in ("help",) and not name.startswith("check-")]
)
def test_manual_names_the_target(target: str) -> None:
    assert f"make {target}" in MANUAL


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z-]+)", MANUAL))))
def test_target_of_the_manual_exists(target: str) -> None:
    assert target in TARGETS


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_parameter_is_documented_with_its_default(parameter: str) -> None:
    page = (ROOT / "docs" / "parameters.md").read_text()
    [row] = [
        line for line in page.splitlines() if line.startswith("|") and f"`{parameter}`" in line
    ]

    assert str(PARAMETERS[parameter]["Default"] or "none") in row


@pytest.mark.parametrize(
    "state", [name for name in STATES if name not in ("IsTableReady", "CancelLoad")]
)
def test_diagram_shows_the_state(state: str) -> None:
    assert re.search(rf"\b{state}\b", ARCHITECTURE)


def test_decisions_are_numbered_without_gaps() -> None:
    names = [path.name for path in sorted((ROOT / "docs/decisions").glob("*.md"))]
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1)), names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert target.startswith("https://") or (document.parent / target).exists(), target


@pytest.mark.parametrize("module", sorted((ROOT / "local").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_architecture_names_the_module_of_the_laptop(module: Path) -> None:
    assert f"`{module.name}`" in ARCHITECTURE


@pytest.mark.parametrize("event", EVENTS, ids=lambda path: path.stem)
def test_page_says_what_the_event_prints(event: Path) -> None:
    name = f"{event.parent.name}/{event.name}"

    assert f"| `{name}` | `" in (ROOT / "events/README.md").read_text()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "events/README.md"])
def test_page_has_the_command_that_up_prints(page: str) -> None:
    words = sam_local.command("StartLoadsFunction", "start_loads/s3_notification.json")
    command = " ".join(word for word in words if "override" not in word and "=" not in word)

    assert f".venv/bin/sam {command}\n" in (ROOT / page).read_text()


@pytest.mark.parametrize("event", EVENTS, ids=lambda path: path.stem)
def test_event_is_used_by_a_test(event: Path) -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests/unit").rglob("*.py"))

    assert event.stem in tests


@pytest.mark.parametrize("event", EVENTS, ids=lambda path: path.stem)
def test_messages_of_the_event_have_their_checksums(event: Path) -> None:
    for message in json.loads(event.read_text()).get("Records", []):
        if "md5OfBody" in message:
            body = message["body"].encode()
            assert message["md5OfBody"] == hashlib.md5(body, usedforsecurity=False).hexdigest()


def test_ended_load_is_the_one_that_the_notification_starts() -> None:
    ended = json.loads((ROOT / "events/measure_loads/load_ended.json").read_text())
    [started] = re.findall(r'"started": \["(.+?)"\]', (ROOT / "events/README.md").read_text())

    assert ended["detail"]["name"] == started
    assert ended["detail"]["executionArn"].endswith(f":{started}")
    assert started in (ROOT / "tests/unit/start_loads/test_start_loads_handler.py").read_text()
