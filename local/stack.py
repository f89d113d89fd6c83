"""A deployed stack on a laptop cloud, as demo and tests look at it."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import redshift_connector

from local.cloud import LaptopCloud
from local.warehouse import Warehouse


@dataclass
class Stack:
    """A deployed stack: its name, its outputs by name, and clients with the rights of root."""

    cloud: LaptopCloud
    name: str
    outputs: dict[str, str]

    @cached_property
    def s3(self) -> Any:
        return self.cloud.client("s3")

    @cached_property
    def sqs(self) -> Any:
        return self.cloud.client("sqs")

    @cached_property
    def step_functions(self) -> Any:
        return self.cloud.client("stepfunctions")

    @cached_property
    def secrets(self) -> Any:
        return self.cloud.client("secretsmanager")

    @property
    def warehouse(self) -> Warehouse:
        """The stack's running warehouse."""
        return self.cloud.warehouse(self.outputs["WorkgroupName"])

    def secret(self, name: str) -> dict[str, Any]:
        """What the secret holds whose ARN is the output of that name."""
        answer = self.secrets.get_secret_value(SecretId=self.outputs[name])
        return dict(json.loads(answer["SecretString"]))

    def credentials(self, secret: str) -> tuple[str, str]:
        """User and password in the secret whose ARN is the output of that name."""
        values = self.secret(secret)
        return values["username"], values["password"]

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """The keys under a prefix in the bucket that the output of that name names."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.outputs[bucket], Prefix=prefix
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def executions(self, machine: str = "LoadStateMachineArn") -> list[dict[str, Any]]:
        """The executions of the machine whose ARN is the output of that name, oldest first."""
        pages = self.step_functions.get_paginator("list_executions").paginate(
            stateMachineArn=self.outputs[machine]
        )
        found = [execution for page in pages for execution in page["executions"]]
        return sorted(found, key=lambda execution: execution["startDate"])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the warehouse, over the port that `psql` would use, as its administrator."""
        return self.table(sql)[1]

    def table(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The names of a query's columns, and its rows."""
        user, password = self.credentials("AdminSecretArn")
        with redshift_connector.connect(
            host="127.0.0.1",
            port=self.warehouse.port,
            database=self.outputs["DatabaseName"],
            user=user,
            password=password,
            ssl=False,
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            rows = [tuple(row) for row in cursor.fetchall()]
            return [column[0] for column in cursor.description], rows
