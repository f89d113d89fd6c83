"""What probes try things on: the deployed stack, and things of their own that go again."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tools.verification.budget import Budget
from tools.verification.deployed import Deployed
from tools.verification.lake import Lake
from tools.verification.machine import Machine
from tools.verification.traces import Traces
from tools.verification.warehouse import Warehouse


@dataclass
class Sample:
    """An error of a statement, and the class that the load machine should give it. `kind` says
    which probe judges by it."""

    what: str
    error: str
    expected: str
    kind: str = "values"


@dataclass
class Bench:
    """`name` is that of everything made here, in SQL and Glue. `samples` gathers errors, `made` and
    `outcomes` are what several probes share."""

    deployed: Deployed
    budget: Budget
    name: str
    traces: Traces = field(default_factory=Traces)
    samples: list[Sample] = field(default_factory=list)
    made: set[str] = field(default_factory=set)
    outcomes: dict[str, Any] = field(default_factory=dict)
    about_warehouse: str = ""

    def client(self, service: str) -> Any:
        return self.deployed.client(service)

    @cached_property
    def warehouse(self) -> Warehouse:
        outputs = self.deployed.outputs
        secrets = {"administrator": outputs["AdminSecretArn"], "loader": outputs["LoaderSecretArn"]}
        client = self.client("redshift-data")
        return Warehouse(client, self.deployed.target, secrets, self.budget)

    @cached_property
    def schema(self) -> str:
        """A schema of the warehouse for tables and procedures of probes, which the loader may use.

        Raises UnansweredError, and botocore's errors.
        """
        self.traces.will_make(
            f"schema {self.name}",
            lambda: self._removes_schema(self.name),
            f'run as administrator of the database: "drop schema {self.name} cascade"',
        )
        self.warehouse.must_run(f"create schema {self.name}")
        self.warehouse.must_run(f"grant usage on schema {self.name} to etl_loader")
        return self.name

    @cached_property
    def lake(self) -> Lake:
        return Lake(self.deployed, self.warehouse, self.traces, self.name)

    @cached_property
    def machine(self) -> Machine:
        return Machine(self.deployed, self.traces, self.budget, self.name)

    @property
    def stranger(self) -> str:
        """Who answers in place of AWS; "" where it is AWS."""
        return self.deployed.stranger()

    @property
    def strange_warehouse(self) -> str:
        """What stands in for Redshift; "" where Redshift says that it is Redshift."""
        if "Redshift" in self.about_warehouse:
            return self.stranger
        if not self.about_warehouse:
            return "the warehouse did not say that it is Redshift"
        kind = " ".join(self.about_warehouse.split()[:2])
        return f"{kind} stands in for Redshift"

    def keeps_external_schema(self, schema: str) -> None:
        """Say that an external schema will be made."""
        self.traces.will_make(
            f"schema {schema}",
            lambda: self._removes_schema(schema),
            f'run as administrator of the database: "drop schema {schema}"',
        )

    def secret_of(self, user: str) -> dict[str, Any]:
        """What a secret of the warehouse holds. Raises botocore's errors."""
        arn = self.warehouse.secrets[user]
        answer = self.client("secretsmanager").get_secret_value(SecretId=arn)
        return dict(json.loads(answer["SecretString"]))

    def _removes_schema(self, schema: str) -> None:
        # Removing is no part of the budget.
        spare = Budget(0, 0, 1, 0)
        warehouse = Warehouse(
            self.warehouse.client, self.warehouse.target, self.warehouse.secrets, spare
        )
        warehouse.must_run(f"drop schema if exists {schema} cascade")
