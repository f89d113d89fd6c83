"""Who gets at the warehouse, by which door, and how far."""

import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
import redshift_connector

from tests.deployed_pipeline import WEEK, Pipeline

QUERY = "select sum(flights) from mart.daily_route_performance"
FLIGHTS = WEEK[0].read_bytes().count(b"\n") - 1
PSQL = [path for path in [shutil.which("psql")] if path]


def test_redshift_connector_reads_what_was_loaded(pipeline: Pipeline) -> None:
    pipeline.load(("raw/flights/day.csv", WEEK[0]))
    user, password = pipeline.stack.credentials("AdminSecretArn")

    with redshift_connector.connect(
        host="127.0.0.1",
        port=pipeline.stack.warehouse.port,
        database=pipeline.stack.outputs["DatabaseName"],
        user=user,
        password=password,
        ssl=False,
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(QUERY)
        assert cursor.fetchone() == [FLIGHTS]


@pytest.mark.parametrize("psql", PSQL)
def test_psql_reads_what_was_loaded(pipeline: Pipeline, psql: str, tmp_path: Path) -> None:
    pipeline.load(("raw/flights/day.csv", WEEK[0]))
    user, password = pipeline.stack.credentials("AdminSecretArn")
    address = f"host=127.0.0.1 port={pipeline.stack.warehouse.port} user={user} dbname=dev"

    answer = subprocess.run(
        [psql, address, "--no-psqlrc", "--tuples-only", "--no-align", "--command", QUERY],
        env={"PGPASSWORD": password, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == str(FLIGHTS)


@pytest.mark.parametrize("secret", ["AdminSecretArn", "LoaderSecretArn"])
def test_wrong_password_is_refused(pipeline: Pipeline, secret: str) -> None:
    user, password = pipeline.stack.credentials(secret)

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        pipeline.stack.warehouse.connect(user, password[::-1])
