"""The pipeline in a warehouse that was there before it."""

from pathlib import Path

import pytest

from local import deploy
from local.cloud import LaptopCloud
from local.dialect import translate
from tests.deployed_pipeline import WEEK, Pipeline
from tools import preflight

pytestmark = pytest.mark.long

WAREHOUSES = Path(__file__).with_name("warehouses.yaml").read_text()
COUNT = "select sum(flights) from mart.daily_route_performance"
NO_SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:none-a1b2c3"
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


@pytest.fixture(scope="module", params=["Cluster", "Workgroup"])
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


@pytest.mark.parametrize("kind", ["Cluster", "Workgroup"])
def test_preflight_logs_in_before_anything_is_deployed(
    theirs: dict[str, str], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"{kind}Arn={theirs[kind]}", f"WarehouseSecretArn={theirs['Secret']}"]
    options = ["--env", "dev", "--parameter-overrides", *given, "DatabaseName=sales"]

    assert preflight.main(options) == 0
    told = capsys.readouterr().out
    assert "green  login            The Data API logs in, as an administrator." in told
    assert "green  isolation level  Snapshot Isolation." in told
    assert "green  your warehouse   Available, in this account and region." in told
    assert "amber  spectrum role    The deployment makes it" in told


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("DatabaseName=none", "red    login            The Data API says:"),
        (f"WarehouseSecretArn={NO_SECRET}", "red    secret           There is none"),
    ],
)
def test_preflight_says_what_they_gave_wrong(
    theirs: dict[str, str], wrong: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"ClusterArn={theirs['Cluster']}", f"WarehouseSecretArn={theirs['Secret']}"]
    options = ["--env", "dev", "--parameter-overrides", *given, "DatabaseName=sales", wrong]

    assert preflight.main(options) == 1
    assert line in capsys.readouterr().out


def test_file_is_loaded(pipeline: Pipeline) -> None:
    execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))

    assert execution["status"] == "SUCCEEDED"
    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert len(pipeline.mails("Business")) == 1


def test_secret_of_the_loader_says_where_their_warehouse_listens(pipeline: Pipeline) -> None:
    held = pipeline.stack.secret("LoaderSecretArn")
    place = {"namespaceName": "theirs"}
    if pipeline.stack.name == "in-their-cluster":
        place = {"dbClusterIdentifier": "their-cluster"}

    assert place.items() <= held.items()
    assert pipeline.who_logs_in("LoaderSecretArn") == ("etl_loader", "sales")
    assert set(pipeline.stack.secret("AdminSecretArn")) == {"username", "password"}


def test_password_of_the_loader_rotates(pipeline: Pipeline) -> None:
    pipeline.rotate("LoaderSecretArn")
    execution = pipeline.load(("raw/flights/next day.csv", WEEK[1]))

    assert execution["status"] == "SUCCEEDED"


LEVEL = "select database_isolation_level from svv_redshift_databases"


@pytest.fixture(scope="module")
def next_owner(
    cloud: LaptopCloud, build_folder: Path, theirs: dict[str, str], pipeline: Pipeline
) -> Pipeline:
    """A stack of another name in the same warehouse, which is serializable meanwhile."""
    kind = pipeline.stack.name.rpartition("-")[2].title()
    with pipeline.connect() as connection:
        connection.execute("select redshift.alter_isolation_level('sales', 'serializable')")
        # As an administrator may have left it: nobody has the role, which views are granted to.
        connection.execute("drop owned by mart_reader")
        connection.execute("drop role mart_reader")
    parameters = {
        "BatchWindowSeconds": "0",
        f"{kind}Arn": theirs[kind],
        "WarehouseSecretArn": theirs["Secret"],
        "DatabaseName": "sales",
    }
    return Pipeline(deploy.deploy(cloud, f"next-{kind.lower()}", build_folder, parameters))


def test_stack_of_another_name_takes_the_warehouse_over(next_owner: Pipeline) -> None:
    before = next_owner.query(COUNT)[0][0]
    execution = next_owner.load(("raw/flights/a day of the next stack.csv", WEEK[2]))

    assert execution["status"] == "SUCCEEDED"
    rows = WEEK[2].read_bytes().count(b"\n") - 1
    assert next_owner.query(COUNT) == [(before + rows,)]
    [(database, options)] = next_owner.query(
        "select databasename, esoptions from svv_external_schemas"
    )
    assert database == next_owner.stack.outputs["GlueDatabaseName"]
    assert next_owner.stack.outputs["SpectrumRoleArn"] in options
    assert next_owner.query(
        "select has_table_privilege('mart_reader', 'mart.daily_route_performance', 'select')"
    ) == [(True,)]


def test_serializable_warehouse_is_told_at_deployment_with_what_changes_it(
    next_owner: Pipeline,
) -> None:
    told = next_owner.stack.outputs["WarehouseIsolation"]
    assert told.startswith("Serializable: ")

    with next_owner.connect() as connection:
        connection.execute(translate(told.partition("run: ")[2]).encode())

    assert next_owner.query(LEVEL) == [("Snapshot Isolation",)]


def test_stack_has_no_warehouse_and_no_administrator_of_its_own(pipeline: Pipeline) -> None:
    client = pipeline.stack.cloud.client("cloudformation")
    found = client.describe_stack_resources(StackName=pipeline.stack.name)["StackResources"]
    names = {item["LogicalResourceId"] for item in found}

    assert "LoaderSecret" in names
    assert not names & {"WarehouseNamespace", "WarehouseWorkgroup", "AdminSecret", "AdminRotation"}


@pytest.mark.parametrize("pipeline", ["Cluster"], indirect=True)
def test_stack_that_moves_to_another_warehouse_loads_there(
    pipeline: Pipeline, theirs: dict[str, str], build_folder: Path
) -> None:
    parameters = {"ClusterArn": theirs["NextCluster"]}
    stack = deploy.deploy(pipeline.stack.cloud, pipeline.stack.name, build_folder, parameters)
    moved = Pipeline(stack)
    moved.overlook()
    execution = moved.load(("raw/flights/moved.csv", WEEK[2]))

    assert execution["status"] == "SUCCEEDED"
    assert stack.secret("LoaderSecretArn")["dbClusterIdentifier"] == "next-cluster"
    assert moved.who_logs_in("LoaderSecretArn") == ("etl_loader", "sales")
    assert len(moved.query("select file_id from etl.loaded_files")) == 1
