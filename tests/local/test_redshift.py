"""Workgroups and namespaces behave as AWS's own handlers and services do."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from local.redshift import Properties, Redshift
from local.warehouse import Warehouse

NAMESPACE: Properties = {"NamespaceName": "n", "DbName": "dev", "LogExports": ["userlog"]}
WORKGROUP: Properties = {
    "WorkgroupName": "w",
    "NamespaceName": "n",
    "BaseCapacity": 8,
    "SubnetIds": ["subnet-1", "subnet-2", "subnet-3"],
}


@pytest.fixture
def redshift() -> Redshift:
    """With a namespace and its workgroup, and nothing behind them."""
    warehouse = cast(Warehouse, SimpleNamespace(port=5439))
    redshift = Redshift(lambda _namespace: warehouse, lambda kind, name: f"arn:{kind}/{name}")
    redshift.create_namespace("Namespace", NAMESPACE, "stack")
    redshift.create_workgroup("Workgroup", WORKGROUP, "stack")
    return redshift


def test_namespace_keeps_its_database(redshift: Redshift) -> None:
    changed = {**NAMESPACE, "DbName": "sales"}
    _, attributes = redshift.update_namespace("n", NAMESPACE, changed, "stack")

    assert attributes["Namespace.DbName"] == "dev"


@pytest.mark.parametrize(
    "change", [{"BaseCapacity": 16}, {"SubnetIds": ["subnet-4", "subnet-5", "subnet-6"]}, {}]
)
def test_workgroup_takes_one_change(redshift: Redshift, change: dict[str, Any]) -> None:
    changed = {**WORKGROUP, **change}
    redshift.update_workgroup("w", WORKGROUP, changed, "stack")

    assert redshift.workgroups["w"].properties == changed


def test_workgroup_takes_no_two_changes_at_once(redshift: Redshift) -> None:
    changed = {**WORKGROUP, "BaseCapacity": 16, "SecurityGroupIds": ["sg-1"]}
    with pytest.raises(ValueError, match="multiple configurations at the same time"):
        redshift.update_workgroup("w", WORKGROUP, changed, "stack")

    assert redshift.workgroups["w"].properties == WORKGROUP
