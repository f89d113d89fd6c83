"""What the grammar found in statements, kept from one run to the next.

Parsing the SQL of a deployment takes longer than all else about it, and mostly it is the SQL of the
deployment before. Whatever is wrong with a kept answer, the statement is parsed again.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / ".aws-sam" / "laptop" / "grammar"
# Shorter statements are parsed sooner than they are looked up.
LEAST_CHARACTERS = 200


def recalled(sql: str, grammar: str) -> dict[str, Any] | None:
    """What was kept of a statement under this version of the grammar, if anything was."""
    if len(sql) < LEAST_CHARACTERS:
        return None
    with suppress(OSError, ValueError):
        found = json.loads(_file(sql, grammar).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def keep(sql: str, grammar: str, found: Mapping[str, Any]) -> None:
    """Keep what was found, where the disk lets us. Other processes may be doing the same."""
    if len(sql) < LEAST_CHARACTERS:
        return
    with suppress(OSError):
        FOLDER.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=FOLDER)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(found, file)
        os.replace(name, _file(sql, grammar))


def _file(sql: str, grammar: str) -> Path:
    digest = hashlib.sha256(f"{grammar} {sql}".encode()).hexdigest()
    return FOLDER / f"{digest}.json"
