"""Namespaces, workgroups and snapshots go as AWS's handlers and its API let them go."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from local.cloud import LaptopCloud

pytestmark = pytest.mark.long

PATIENCE = {"Delay": 1, "MaxAttempts": 30}


def namespace(**more: Any) -> dict[str, Any]:
    properties = {
        "NamespaceName": "left",
        "AdminUsername": "admin",
        "AdminUserPassword": "Secret-1",
    }
    return {"Type": "AWS::RedshiftServerless::Namespace", "Properties": {**properties, **more}}


def create(cloud: LaptopCloud, **resources: Any) -> None:
    formation = cloud.client("cloudformation")
    template = json.dumps({"Resources": resources})
    formation.create_stack(StackName="left", TemplateBody=template)
    formation.get_waiter("stack_create_complete").wait(StackName="left", WaiterConfig=PATIENCE)


def delete(cloud: LaptopCloud) -> None:
    formation = cloud.client("cloudformation")
    formation.delete_stack(StackName="left")
    formation.get_waiter("stack_delete_complete").wait(StackName="left", WaiterConfig=PATIENCE)


def test_namespace_with_a_final_snapshot_is_never_deleted_by_its_stack(cloud: LaptopCloud) -> None:
    workgroup = {
        "Type": "AWS::RedshiftServerless::Workgroup",
        "Properties": {"WorkgroupName": "left", "NamespaceName": {"Ref": "Namespace"}},
    }
    create(cloud, Namespace=namespace(FinalSnapshotName="final"), Workgroup=workgroup)

    # The workgroup goes first, since it refers to the namespace.
    with pytest.raises(WaiterError):
        delete(cloud)
    events = cloud.client("cloudformation").describe_stack_events(StackName="left")["StackEvents"]
    [reason] = {
        event["ResourceStatusReason"]
        for event in events
        if (event["LogicalResourceId"], event["ResourceStatus"]) == ("Namespace", "DELETE_FAILED")
    }
    assert "You can't create a snapshot because there isn't a workgroup" in reason

    serverless = cloud.client("redshift-serverless")
    with pytest.raises(ClientError, match="there isn't a workgroup"):
        serverless.create_snapshot(namespaceName="left", snapshotName="left")
    serverless.delete_namespace(namespaceName="left")
    with pytest.raises(ClientError, match="not found"):
        serverless.get_namespace(namespaceName="left")
    cloud.client("cloudformation").delete_stack(StackName="left", RetainResources=["Namespace"])


def test_namespace_with_a_workgroup_is_not_deleted(cloud: LaptopCloud) -> None:
    workgroup = {
        "Type": "AWS::RedshiftServerless::Workgroup",
        "Properties": {"WorkgroupName": "left", "NamespaceName": {"Ref": "Namespace"}},
    }
    create(cloud, Namespace=namespace(), Workgroup=workgroup)
    serverless = cloud.client("redshift-serverless")

    with pytest.raises(ClientError, match="has a workgroup"):
        serverless.delete_namespace(namespaceName="left")
    group = serverless.get_workgroup(workgroupName="left")["workgroup"]
    assert (group["namespaceName"], group["endpoint"]["address"]) == ("left", "127.0.0.1")

    delete(cloud)
    assert "left" not in [
        item["workgroupName"] for item in serverless.list_workgroups()["workgroups"]
    ]


def test_namespace_that_is_there_fails_the_stack(cloud: LaptopCloud) -> None:
    create(cloud, Namespace=namespace())
    formation = cloud.client("cloudformation")
    formation.create_stack(
        StackName="again", TemplateBody=json.dumps({"Resources": {"Namespace": namespace()}})
    )

    with pytest.raises(WaiterError):
        formation.get_waiter("stack_create_complete").wait(StackName="again", WaiterConfig=PATIENCE)
    reasons = [
        event.get("ResourceStatusReason", "")
        for event in formation.describe_stack_events(StackName="again")["StackEvents"]
    ]
    assert any("already exists" in reason for reason in reasons)
    delete(cloud)
