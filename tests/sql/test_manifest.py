"""What the load procedures are told about a file: three places write it down, and agree."""

import json
import re
from pathlib import Path
from typing import Any

import jsonata
import yaml
from start_loads.core import MAX_CONTENT_LENGTH, MAX_MANIFEST_BYTES, UploadedFile, plan_loads

ROOT = Path(__file__).parents[2]
SUBMIT_LOAD = yaml.safe_load((ROOT / "statemachine" / "load.asl.yaml").read_text())["States"][
    "SubmitLoad"
]
REGISTER_FILES = (ROOT / "sql" / "procedures" / "register_files.sql").read_text()
FINISH_LOAD = (ROOT / "sql" / "procedures" / "finish_load.sql").read_text()
CONTENT = "=" * MAX_CONTENT_LENGTH

FILES = [
    UploadedFile(
        "raw", f"raw/flights/{name}", f"v{name}", "e", "0055", 7, "2026-11-24T10:00:00.000Z"
    )
    for name in ("a.csv", 'q"uote, ü\\.csv')
]


def manifest(load_input: dict[str, Any], gone_file_ids: list[str]) -> list[dict[str, Any]]:
    """What the machine makes of an execution's input."""
    [expression] = re.findall(r"'Name': 'files', 'Value': (.*)},", SUBMIT_LOAD["Arguments"])
    text = jsonata.Jsonata.jsonata(expression).evaluate(
        None,
        {
            "states": {"context": {"Execution": {"Input": load_input}}},
            "gone_file_ids": gone_file_ids,
            "contents": {FILES[0].file_id: CONTENT, FILES[1].file_id: CONTENT},
        },
    )
    assert len(text.encode()) <= MAX_MANIFEST_BYTES
    entries: list[dict[str, Any]] = json.loads(text)
    return entries


def test_machine_tells_what_start_loads_reckoned_with() -> None:
    [load] = plan_loads(FILES)

    told = manifest(json.loads(load.to_input()), gone_file_ids=[])

    assert told == [file.manifest_entry() for file in load.files]
    assert [list(entry) for entry in told] == [list(file.manifest_entry()) for file in load.files]


def test_machine_tells_which_files_are_gone() -> None:
    [load] = plan_loads(FILES)

    told = manifest(json.loads(load.to_input()), gone_file_ids=[load.files[1].file_id])

    assert [entry["is_gone"] for entry in told] == [False, True]


def test_procedure_reads_every_field_and_no_other() -> None:
    read = set(re.findall(r"cast\(entry\.(\w+) as ", REGISTER_FILES + FINISH_LOAD))

    assert sorted(read) == sorted(FILES[0].manifest_entry())


def test_procedure_documents_every_field() -> None:
    [documented] = re.findall(r"at most 100 \{(.*?)\}", REGISTER_FILES, re.DOTALL)

    assert re.findall(r"\w+", documented.replace("--", "")) == list(FILES[0].manifest_entry())


def test_load_parses_its_manifest_once() -> None:
    texts = [path.read_text() for path in (ROOT / "sql").rglob("*.sql")]
    code = [re.sub(r"--.*", "", text) for text in texts]
    loads = [text for text in code if re.search(r"procedure etl\.load_\w+\(", text)]

    assert sum(len(re.findall(r"json_parse\(p_\w+\)", text)) for text in code) == 1
    assert loads
    assert {len(re.findall(r"call etl\.register_files\(", text)) for text in loads} == {1}
