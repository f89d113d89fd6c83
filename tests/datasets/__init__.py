"""Datasets that the tests add to a deployed stack, as `sam deploy` would have added them."""

import json
import time
from pathlib import Path
from string import Template

from local.dialect import split
from local.stack import Stack

FOLDER = Path(__file__).parent


def install(stack: Stack, dataset: str) -> None:
    """Register the dataset's Glue table, and apply its SQL through the Data API."""
    table = Template((FOLDER / dataset / "table.json").read_text()).substitute(stack.outputs)
    stack.cloud.client("glue").create_table(
        DatabaseName=stack.outputs["GlueDatabaseName"], TableInput=json.loads(table)
    )
    for path in sorted((FOLDER / dataset).glob("*.sql")):
        apply(stack, path.read_text())


def apply(stack: Stack, sql: str) -> None:
    """Run the statements of a file as the administrator, in one transaction."""
    api = stack.cloud.client("redshift-data")
    statement_id = api.batch_execute_statement(
        WorkgroupName=stack.outputs["WorkgroupName"],
        Database=stack.outputs["DatabaseName"],
        SecretArn=stack.outputs["AdminSecretArn"],
        Sqls=[*split(sql), "select 1"],
    )["Id"]
    while True:
        described = api.describe_statement(Id=statement_id)
        if described["Status"] in ("FAILED", "ABORTED"):
            raise AssertionError(described["SubStatements"])
        if described["Status"] == "FINISHED":
            return
        time.sleep(0.02)
