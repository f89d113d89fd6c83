"""The pipeline in a warehouse that was there before it."""

from pathlib import Path

import pytest

from local import deploy
from local.cloud import LaptopCloud
from tests.deployed_pipeline import WEEK, Pipeline

pytestmark = pytest.mark.long

WAREHOUSES = Path(__file__).with_name("warehouses.yaml").read_text()
COUNT = "select sum(flights) from mart.daily_route_performance"
FLIGHTS = WEEK[0].read_bytes().count(b"\n") - 1


@pytest.fixture(scope="module")
def theirs(cloud: LaptopCloud) -> dict[str, str]:
    """The ARNs of what is there already."""
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName="theirs", TemplateBody=WAREHOUSES)
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="theirs", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    [stack] = cloudformation.describe_stacks(StackName="theirs")["Stacks"]
    return {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}


@pytest.fixture(scope="module", params=["Workgroup", "Cluster"])
def pipeline(
    request: pytest.FixtureRequest,
    cloud: LaptopCloud,
    build_folder: Path,
    theirs: dict[str, str],
) -> Pipeline:
    parameters = {
        "BatchWindowSeconds": "0",
        f"{request.param}Arn": theirs[request.param],
        "WarehouseSecretArn": theirs["Secret"],
        "DatabaseName": "sales",
    }
    return Pipeline(
        deploy.deploy(cloud, f"in-their-{request.param.lower()}", build_folder, parameters)
    )


def test_file_is_loaded(pipeline: Pipeline) -> None:
    execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))

    assert execution["status"] == "SUCCEEDED"
    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert len(pipeline.mails("Business")) == 1


def test_password_of_the_loader_rotates(pipeline: Pipeline) -> None:
    pipeline.rotate("LoaderSecretArn")
    execution = pipeline.load(("raw/flights/next day.csv", WEEK[1]))

    assert execution["status"] == "SUCCEEDED"


def test_stack_has_no_warehouse_and_no_administrator_of_its_own(pipeline: Pipeline) -> None:
    client = pipeline.stack.cloud.client("cloudformation")
    found = client.describe_stack_resources(StackName=pipeline.stack.name)["StackResources"]
    names = {item["LogicalResourceId"] for item in found}

    assert "LoaderSecret" in names
    assert not names & {"WarehouseNamespace", "WarehouseWorkgroup", "AdminSecret", "AdminRotation"}
