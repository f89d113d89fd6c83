"""A table of the verification's own in the Glue database, whose files Spectrum reads."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.datasets.choosing import NoneFitsError, first
from tools.verification.deployed import Deployed
from tools.verification.finding import UnansweredError
from tools.verification.objects import will_put
from tools.verification.traces import Traces
from tools.verification.warehouse import Answer, Warehouse

COLUMNS = ("first", "second", "third")
SELECT = "select first, second, third from {table} where run_id = :run_id"


@dataclass
class Lake:
    """A partitioned table named `name` with the settings of a dataset of CSV, whose files lie under
    staging/<name>/, which triggers nothing. `schema` is the external schema of the warehouse
    that shows it."""

    deployed: Deployed
    warehouse: Warehouse
    traces: Traces
    name: str
    schema: str = ""
    partitions: set[str] = field(default_factory=set)

    @property
    def table(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def prefix(self) -> str:
        return f"staging/{self.name}/"

    def make_table(self) -> None:
        """Raises UnansweredError, and botocore's errors."""
        database = self.deployed.glue_database
        self.traces.will_make(
            f"Glue table {self.name}",
            lambda: self.glue.delete_table(DatabaseName=database, Name=self.name),
            f"aws glue delete-table --database-name {database} --name {self.name}",
        )
        try:
            model = self.glue.get_table(DatabaseName=database, Name=first("csv").name)["Table"]
        except NoneFitsError as error:
            raise UnansweredError(str(error)) from None
        storage = {
            **model["StorageDescriptor"],
            "Columns": [{"Name": name, "Type": "string"} for name in COLUMNS],
            "Location": self.location(),
        }
        table = {
            "Name": self.name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": model.get("Parameters", {}),
            "PartitionKeys": [{"Name": "run_id", "Type": "string"}],
            "StorageDescriptor": storage,
        }
        with contextlib.suppress(self.glue.exceptions.AlreadyExistsException):
            self.glue.create_table(DatabaseName=database, TableInput=table)

    def location(self, partition: str = "") -> str:
        folder = f"run_id={partition}/" if partition else ""
        return f"s3://{self.deployed.outputs['RawBucketName']}/{self.prefix}{folder}"

    def read(self, partition: str, files: Mapping[str, bytes], location: str = "") -> Answer:
        """Make a partition of these files, and what a query of it answers. Raises as both do."""
        self.add(partition, files, location)
        return self.warehouse.run(SELECT.format(table=self.table), run_id=partition)

    def add(self, partition: str, files: Mapping[str, bytes], location: str = "") -> None:
        """Make a partition of these files. Raises UnansweredError, and botocore's errors."""
        if not self.schema:
            raise UnansweredError("the warehouse has no external schema that shows the table")
        self.make_table()
        bucket, client = self.deployed.outputs["RawBucketName"], self.deployed.client("s3")
        will_put(self.traces, client, bucket, self.prefix)
        for name, content in files.items():
            key = f"{self.prefix}run_id={partition}/{name}"
            client.put_object(Bucket=bucket, Key=key, Body=content)
        # As the load machine does it: the table's own description, as Glue gives it.
        database = self.deployed.glue_database
        storage = self.glue.get_table(DatabaseName=database, Name=self.name)["Table"][
            "StorageDescriptor"
        ]
        self.glue.create_partition(
            DatabaseName=database,
            TableName=self.name,
            PartitionInput={
                "Values": [partition],
                "StorageDescriptor": {
                    **storage,
                    "Location": location or self.location(partition),
                },
            },
        )

    @property
    def glue(self) -> Any:
        return self.deployed.client("glue")
