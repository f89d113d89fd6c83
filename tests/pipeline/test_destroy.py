"""`make destroy`, on a stack with a file in its archive."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local import deploy
from local.cloud import ACCESS_KEY, REGION, SECRET_KEY, LaptopCloud
from tests.deployed_pipeline import WEEK, Pipeline
from tools import destroy

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def account(cloud: LaptopCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose credentials are in the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


@pytest.fixture(scope="module")
def pipeline(cloud: LaptopCloud, build_folder: Path) -> Pipeline:
    parameters = {"BatchWindowSeconds": "0"}
    return Pipeline(deploy.deploy(cloud, "redshift-pipeline-dev", build_folder, parameters))


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

    assert destroy.main(["--env", "dev"]) == 0
    told = capsys.readouterr().out
    archive = pipeline.stack.outputs["ArchiveBucketName"]
    assert f"s3://{archive}: 1 object versions, 0.000 GB, 0.00 USD a month" in told
    assert f"aws s3api delete-bucket --bucket {pipeline.stack.outputs['RawBucketName']}" in told
    assert "decrypts all of this, 1.00 USD a month" in told
    assert "namespace redshift-pipeline-dev: ledger and aggregates, 0.024 USD a GB" in told
    assert len(pipeline.keys("Archive")) == 1
    with pytest.raises(ClientError, match="does not exist"):
        pipeline.stack.cloud.client("cloudformation").describe_stacks(
            StackName="redshift-pipeline-dev"
        )
