from collections.abc import Callable
from typing import Any

import pytest
from start_loads.core import UploadedFile


@pytest.fixture
def upload() -> Callable[..., UploadedFile]:
    """Makes a file as S3's event tells of it."""

    def make(key: str = "raw/flights/day.csv", **changes: Any) -> UploadedFile:
        fields = {
            "bucket": "raw-bucket",
            "key": key,
            "version_id": "v1",
            "etag": "e1",
            "sequencer": "0055",
            "size": 10,
            "uploaded_at": "2013-01-02T04:00:00.000Z",
        }
        return UploadedFile(**fields | changes)

    return make
