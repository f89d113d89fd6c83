"""tools/smoke.py: what is told of a load."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tools import smoke
from tools.stacks import StackError

ENDED: dict[str, Any] = {
    "executionArn": "arn:aws:states:::execution:x-load:flights-1",
    "startDate": datetime(2026, 1, 1, tzinfo=UTC),
    "stopDate": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=9),
}


def test_good_load_is_told_with_its_rows() -> None:
    output = '{"source_rows": 1842, "rejected_rows": 3}'

    assert smoke.told({**ENDED, "status": "SUCCEEDED", "output": output}) == (
        "Loaded in 9 s: 1,842 rows, 3 rejected."
    )


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {"status": "FAILED", "error": "DataError", "cause": "no header"},
            "FAILED: DataError: no header",
        ),
        ({"status": "ABORTED"}, "ABORTED: no error: no cause"),
    ],
)
def test_other_load_fails_with_its_reason(more: dict[str, str], told: str) -> None:
    with pytest.raises(StackError, match=told) as raised:
        smoke.told({**ENDED, **more})
    assert str(raised.value).endswith("execution:x-load:flights-1")
