"""`make destroy`, on a stack with a file in its archive."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local import deploy
from local.cloud import ACCESS_KEY, REGION, SECRET_KEY, LaptopCloud
from tests.deployed_pipeline import WEEK, Pipeline
from tests.operating import empty_bucket
from tools import destroy, stacks

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def account(cloud: LaptopCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose credentials are in the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setitem(stacks.PATIENCE, "Delay", 1)


@pytest.fixture(scope="module")
def pipeline(cloud: LaptopCloud, build_folder: Path) -> Iterator[Pipeline]:
    parameters = {"BatchWindowSeconds": "0"}
    stack = deploy.deploy(cloud, "redshift-pipeline-dev", build_folder, parameters)
    yield Pipeline(stack)

    # The buckets outlive the stack, and other tests deploy a stack of this name.
    for bucket in ("RawBucketName", "ArchiveBucketName"):
        empty_bucket(stack, bucket)
        stack.s3.delete_bucket(Bucket=stack.outputs[bucket])


def test_environment_that_is_not_there_is_not_destroyed(capsys: pytest.CaptureFixture[str]) -> None:
    assert destroy.main(["--env", "test", "--yes"]) == 1
    assert "has no environment 'test', but dev, prod." in capsys.readouterr().err

    # It is deployed for the tests that follow.
    assert destroy.main(["--env", "dev", "--yes"]) == 1
    assert "Stack with id redshift-pipeline-dev does not exist" in capsys.readouterr().err


def test_stack_whose_name_is_not_typed_stays(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda _prompt: "dev")

    assert destroy.main(["--env", "dev"]) == 1
    assert "nothing was deleted" in capsys.readouterr().err
    assert pipeline.stack.executions() == []


def test_stack_goes_and_data_stay(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))
    assert execution["status"] == "SUCCEEDED"
    monkeypatch.setattr("builtins.input", lambda _prompt: "redshift-pipeline-dev")

    assert destroy.main(["--env", "dev", "--snapshot-days", "7"]) == 0
    told = capsys.readouterr().out
    archive = pipeline.stack.outputs["ArchiveBucketName"]
    assert f"s3://{archive}: 1 object versions, 0.000 GB, 0.00 USD a month" in told
    assert f"aws s3api delete-bucket --bucket {pipeline.stack.outputs['RawBucketName']}" in told
    assert "decrypts all of this, 1.00 USD a month" in told
    assert "namespace redshift-pipeline-dev: ledger and aggregates, 0.024 USD a GB" in told
    assert "the same as it is now, for 7 days, also when the namespace is removed" in told
    assert len(pipeline.keys("Archive")) == 1
    [name] = re.findall(r"snapshot (redshift-pipeline-dev-[0-9]+):", told)
    serverless = pipeline.stack.cloud.client("redshift-serverless")
    snapshot = serverless.get_snapshot(snapshotName=name)["snapshot"]
    assert (snapshot["status"], snapshot["snapshotRetentionPeriod"]) == ("AVAILABLE", 7)
    with pytest.raises(ClientError, match="does not exist"):
        pipeline.stack.cloud.client("cloudformation").describe_stacks(
            StackName="redshift-pipeline-dev"
        )


def test_ledger_and_aggregates_are_there_for_the_next_workgroup(cloud: LaptopCloud) -> None:
    serverless = cloud.client("redshift-serverless")
    workgroup = {
        "Type": "AWS::RedshiftServerless::Workgroup",
        "Properties": {"WorkgroupName": "next", "NamespaceName": "redshift-pipeline-dev"},
    }
    formation = cloud.client("cloudformation")
    formation.create_stack(
        StackName="next", TemplateBody=json.dumps({"Resources": {"Workgroup": workgroup}})
    )
    formation.get_waiter("stack_create_complete").wait(
        StackName="next", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )

    with cloud.warehouse("next").owner_connect() as connection:
        files = connection.execute("select count(*) from etl.loaded_files").fetchone()
        flights = connection.execute(
            "select sum(flights) from mart.daily_route_performance"
        ).fetchone()
    assert files == (1,)
    assert flights is not None
    assert flights[0] > 0

    formation.delete_stack(StackName="next")
    formation.get_waiter("stack_delete_complete").wait(
        StackName="next", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    serverless.delete_namespace(namespaceName="redshift-pipeline-dev")
    assert "redshift-pipeline-dev" not in [
        item["namespaceName"] for item in serverless.list_namespaces()["namespaces"]
    ]


def test_nothing_is_deleted_where_no_snapshot_can_be_taken(
    cloud: LaptopCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = {
        "StackName": "redshift-pipeline-dev",
        "StackId": "none",
        "resources": {"WarehouseWorkgroup": "gone", "WarehouseNamespace": "gone"},
    }
    monkeypatch.setattr(destroy, "found", lambda _name: stack)
    monkeypatch.setattr(destroy, "delete", lambda _stack: pytest.fail("deleted"))

    assert destroy.main(["--env", "dev", "--yes"]) == 1
    assert "No snapshot of gone, so nothing was deleted" in capsys.readouterr().err
