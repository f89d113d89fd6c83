"""What `sam build` and `sam deploy` do to a stack that exists, and to the one beside it.

The stack of these tests is one more in the cloud of all tests, and is deleted by the last one.
"""

import os
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from local import deploy
from local.cloud import LaptopCloud
from local.stack import Stack
from local.warehouse import WarehouseError
from tests.deployed_pipeline import WEEK, Pipeline

pytestmark = pytest.mark.long

STACK_NAME = "second-pipeline"
DELETE_TIMEOUT_SECONDS = 20
NOT_SOURCES = shutil.ignore_patterns(".git", ".venv", ".aws-sam", "build", "*_cache", "__pycache__")
VIEW = "datasets/flights/daily_route_performance.sql"
SCHEMA = "schema/0002_ledger.sql"
VIEW_COUNT = "select sum(flights) from mart.daily_route_performance"


class Deployment:
    """A stack of its own, a copy of the project's sources, and what was built of them last."""

    def __init__(self, cloud: LaptopCloud, project: Path, built: Path) -> None:
        self.cloud = cloud
        self.project = project
        self.built = built
        self.pipeline = Pipeline(self.deploy())

    def build(self) -> None:
        self.built = deploy.build(self.cloud, self.project)

    def deploy(self, **changed: str) -> Stack:
        parameters = {"BatchWindowSeconds": "1", **changed}
        return deploy.deploy(self.cloud, STACK_NAME, self.built, parameters, self.project)

    @property
    def built_sql(self) -> Path:
        return self.built / "ApplySqlFunction" / "apply_sql" / "sql"

    def applied(self) -> dict[str, datetime]:
        """When each file of sql/ was applied last."""
        rows = self.pipeline.query("select path, applied_at from etl.schema_version")
        return dict(rows)

    def events(self) -> list[tuple[str, str]]:
        """What CloudFormation did to the stack's resources: logical id and status."""
        answer = self.cloud.client("cloudformation").describe_stack_events(StackName=STACK_NAME)
        return [(e["LogicalResourceId"], e["ResourceStatus"]) for e in answer["StackEvents"]]

    def status(self) -> str:
        client = self.cloud.client("cloudformation")
        return str(client.describe_stacks(StackName=STACK_NAME)["Stacks"][0]["StackStatus"])


@pytest.fixture(scope="module")
def deployment(
    cloud: LaptopCloud, build_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    project = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(deploy.PROJECT, project, ignore=NOT_SOURCES)
    return Deployment(cloud, project, build_folder)


@pytest.fixture
def edited_sql(deployment: Deployment, tmp_path: Path) -> Iterator[Path]:
    """sql/ as it was built, for edits that need no other build."""
    built = deployment.built
    # Beside the original: the template names other files relative to itself.
    deployment.built = Path(shutil.copytree(built, built.with_name(f"{built.name}-edited")))
    yield deployment.built_sql
    shutil.rmtree(deployment.built)
    deployment.built = built


def without_blanks(error: deploy.DeployError) -> str:
    """The text, of which the SAM CLI breaks lines anywhere to fit a table's column."""
    return "".join(str(error).split())


def test_two_stacks_in_one_account_see_nothing_of_each_other(
    pipeline: Pipeline, deployment: Deployment
) -> None:
    second = deployment.pipeline
    for one, file in ((pipeline, WEEK[0]), (second, WEEK[1])):
        one.upload("raw/flights/day.csv", file)

    for one, file in ((pipeline, WEEK[0]), (second, WEEK[1])):
        [execution] = one.next_loads()
        rows = file.read_bytes().count(b"\n") - 1
        assert execution["status"] == "SUCCEEDED"
        assert one.query(VIEW_COUNT) == [(rows,)]
        assert one.query("select count(*) from etl.loads") == [(1,)]
        assert one.keys("Raw") == []
        [archived] = one.keys("Archive")
        body = one.stack.s3.get_object(Bucket=one.stack.outputs["ArchiveBucketName"], Key=archived)
        assert body["Body"].read() == file.read_bytes()
        assert [mail.subject for mail in one.mails("Business")] == [
            f"flights: {rows:,} rows from 1 file loaded"
        ]
        assert one.mails("Support") == []
    # Both databases are called so, and isolate alike.
    alike = {"dev", second.stack.outputs["WarehouseIsolation"]}
    assert not set(pipeline.stack.outputs.values()) & set(second.stack.outputs.values()) - alike


def test_second_deploy_of_the_same_sources_changes_nothing(deployment: Deployment) -> None:
    applied, events = deployment.applied(), deployment.events()

    deployment.build()
    deployment.deploy()

    assert deployment.events() == events
    assert deployment.applied() == applied


def test_edited_view_is_all_that_is_applied(deployment: Deployment) -> None:
    before = deployment.applied()
    view = deployment.project / "sql" / VIEW
    view.write_text(f"{view.read_text()}\n-- edited\n")

    deployment.build()
    deployment.deploy()

    after = deployment.applied()
    assert {path for path in after if after[path] != before.get(path)} == {VIEW}


def test_broken_view_fails_the_deploy_and_the_earlier_one_stays(
    deployment: Deployment, edited_sql: Path
) -> None:
    view = edited_sql / VIEW
    good, before = view.read_text(), deployment.applied()
    figures = deployment.pipeline.query(VIEW_COUNT)
    view.write_text(good.replace("    carrier,\n", "    no_such_column,\n"))

    with pytest.raises(deploy.DeployError) as caught:
        deployment.deploy()

    told = without_blanks(caught.value)
    assert f"{VIEW},statement1of2:" in told
    assert 'ERROR:column"no_such_column"doesnotexist' in told
    assert deployment.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert deployment.pipeline.query(VIEW_COUNT) == figures
    assert deployment.applied() == before

    view.write_text(f"{good}\n-- mended\n")
    deployment.deploy()

    after = deployment.applied()
    assert {path for path in after if after[path] != before[path]} == {VIEW}
    assert deployment.status() == "UPDATE_COMPLETE"


def test_edited_schema_file_fails_the_deploy_by_name(
    deployment: Deployment, edited_sql: Path
) -> None:
    before = deployment.applied()
    schema = edited_sql / SCHEMA
    schema.write_text(schema.read_text() + "\n-- edited\n")

    with pytest.raises(deploy.DeployError) as caught:
        deployment.deploy()

    assert f"{SCHEMA}:waseditedafterithadbeenapplied" in without_blanks(caught.value)
    assert deployment.applied() == before


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"DatabaseName": "sales"}, 'database"sales"doesnotexist'),
        (
            {"BaseCapacity": "16", "SecurityGroupIds": "sg-00000001"},
            "Can'tupdatemultipleconfigurationsatthesametime",
        ),
    ],
    ids=["another database", "two settings of the workgroup"],
)
def test_what_no_live_stack_takes_leaves_it_as_it_was(
    deployment: Deployment, changed: dict[str, str], reason: str
) -> None:
    secret = deployment.pipeline.stack.secret("LoaderSecretArn")
    with pytest.raises(deploy.DeployError) as caught:
        deployment.deploy(**changed)

    assert reason in without_blanks(caught.value)
    assert deployment.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert deployment.pipeline.stack.secret("LoaderSecretArn") == secret
    assert deployment.pipeline.who_logs_in("LoaderSecretArn") == ("etl_loader", "dev")


@pytest.mark.parametrize("stack", ["Second-Pipeline", "second-pipeline-with-a-longer-name"])
def test_name_that_no_bucket_takes_is_refused_before_anything_is_made(
    cloud: LaptopCloud, build_folder: Path, stack: str
) -> None:
    with pytest.raises(deploy.DeployError, match="PropertyValidation"):
        deploy.deploy(cloud, stack, build_folder)

    client = cloud.client("cloudformation")
    assert not client.list_stack_resources(StackName=stack)["StackResourceSummaries"]


def test_deleted_stack_leaves_files_and_takes_the_warehouse_down(deployment: Deployment) -> None:
    pipeline = deployment.pipeline
    pipeline.upload("kept.csv", b"kept")
    warehouse = pipeline.stack.warehouse
    client = deployment.cloud.client("cloudformation")
    with pipeline.connect() as connection:
        backend = connection.info.backend_pid
        connection.execute("select 1")
        arn = client.describe_stacks(StackName=STACK_NAME)["Stacks"][0]["StackId"]

        client.delete_stack(StackName=STACK_NAME)

        deadline = time.monotonic() + DELETE_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            status = client.describe_stacks(StackName=arn)["Stacks"][0]["StackStatus"]
            if status != "DELETE_IN_PROGRESS":
                break
            time.sleep(0.1)
        assert status == "DELETE_COMPLETE"
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    with pytest.raises(ProcessLookupError):
        os.kill(backend, 0)
    with pytest.raises(KeyError):
        deployment.cloud.warehouse(pipeline.stack.outputs["WorkgroupName"])
    with pytest.raises(WarehouseError, match="not started"):
        _ = warehouse.port
    assert "kept.csv" in pipeline.keys("Raw")
