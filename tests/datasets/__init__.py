"""Datasets that the tests add to a deployed stack, as `sam deploy` would have added them."""

import time
from pathlib import Path
from typing import Any

from apply_sql import core
from samtranslator.yaml_helper import yaml_parse

from local.dialect import split
from local.stack import Stack
from tools.datasets.reading import Folder, read_folder
from tools.datasets.rendering import Rendering
from tools.datasets.resources import BEGIN, END, with_datasets

FOLDER = Path(__file__).parent
LOAD_ARGUMENTS = (
    "(varchar, varchar, varchar, varchar, varchar, bigint, bigint, bigint, bigint, bigint, varchar,"
    " varchar, varchar, varchar, varchar)"
)


def install(stack: Stack, dataset: str) -> None:
    """Register the Glue table of a dataset of this folder, and apply its SQL."""
    install_folder(stack, read_folder(FOLDER / dataset))


def install_folder(stack: Stack, folder: Folder) -> None:
    """Register a dataset's Glue table, and apply its SQL through the Data API."""
    stack.cloud.client("glue").create_table(
        DatabaseName=stack.outputs["GlueDatabaseName"], TableInput=table_input(stack, folder)
    )
    files = [core.SqlFile(name, text) for name, text in Rendering(folder).files().items()]
    # By hand nothing is written: the folder has its own.
    for step in core.plan(files or core.read_folder(folder.path), {}, {}):
        apply(stack, ";\n".join(step.statements))


def remove(stack: Stack, dataset: str) -> None:
    """Take away what `install` made of a dataset of this folder."""
    folder = read_folder(FOLDER / dataset)
    stack.cloud.client("glue").delete_table(
        DatabaseName=stack.outputs["GlueDatabaseName"], Name=dataset
    )
    drops = [
        f"delete from etl.datasets where dataset = '{dataset}'",
        f"delete from etl.dataset_tables where dataset = '{dataset}'",
        f"drop procedure etl.load_{dataset}{LOAD_ARGUMENTS}",
        f"drop table etl.{dataset}_lock",
    ]
    for table in folder.dataset.tables:
        drops += [
            f"drop view mart.{table}",
            f"drop table mart.{table}_by_file",
            f"drop procedure etl.create_{table}_by_file()",
            f"drop procedure etl.extend_{table}_by_file()",
        ]
    apply(stack, ";\n".join(drops))


def table_input(stack: Stack, folder: Folder) -> dict[str, Any]:
    """The dataset's Glue table, as the template would give it."""
    resources: dict[str, Any] = yaml_parse(with_datasets(f"{BEGIN}\n{END}\n", [folder]))
    [table] = [each for each in resources.values() if each["Type"] == "AWS::Glue::Table"]
    wanted: dict[str, Any] = table["Properties"]["TableInput"]
    storage = wanted["StorageDescriptor"]
    folder_of_runs = storage["Location"]["Fn::Sub"].rpartition("/staging/")[2]
    storage["Location"] = f"s3://{stack.outputs['RawBucketName']}/staging/{folder_of_runs}"
    return wanted


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
