from collections.abc import Iterator

import psycopg
import pytest

from tests.datasets import bare


@pytest.fixture(scope="session")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    """A session in a warehouse alone."""
    with bare.warehouse(tmp_path_factory.mktemp("bare")) as connection:
        yield connection
