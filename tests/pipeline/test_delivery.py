"""What GitHub's jobs do, as the roles of delivery/github.yaml let them."""

import base64
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local import deploy
from local.cloud import REGION, LaptopCloud
from local.stack import Stack
from tests.deployed_pipeline import WEEK, Pipeline
from tests.security.grants import deployed_grants
from tools import smoke
from tools.datasets.choosing import example

pytestmark = pytest.mark.long

DELIVERY = (deploy.PROJECT / "delivery" / "github.yaml").read_text()
ISSUER = "token.actions.githubusercontent.com"
NAME = "redshift-pipeline-prod"
REPOSITORY = "airport-4711/flights-12"
Outputs = dict[str, str]
Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def delivery(cloud: LaptopCloud) -> Outputs:
    """The outputs of the stack that lets GitHub in."""
    given = {
        "Repository": REPOSITORY,
        "Environment": "prod",
        "SendsTestFile": "yes",
        "StackName": NAME,
        "OidcProviderArn": f"arn:aws:iam::000000000000:oidc-provider/{ISSUER}",
    }
    client = cloud.client("cloudformation")
    client.create_stack(
        StackName="deliver-prod",
        TemplateBody=DELIVERY,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )
    client.get_waiter("stack_create_complete").wait(StackName="deliver-prod")
    [stack] = client.describe_stacks(StackName="deliver-prod")["Stacks"]
    return {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}


@pytest.fixture(scope="module")
def prod(cloud: LaptopCloud, build_folder: Path, delivery: Outputs) -> Stack:
    """The stack as it was first deployed: by hand, with the boundary, in the execution role."""
    parameters = {"BatchWindowSeconds": "0", "PermissionsBoundaryArn": delivery["BoundaryArn"]}
    role = delivery["ExecutionRoleArn"]
    return deploy.deploy(cloud, NAME, build_folder, parameters, role_arn=role)


@dataclass
class Job:
    """A job of GitHub's: what it runs sees these variables."""

    cloud: LaptopCloud
    folder: Path

    def log_in(self, role: str, subject: str) -> dict[str, str]:
        """As configure-aws-credentials does, with the subject that GitHub gives the job."""
        claims = {"iss": f"https://{ISSUER}", "aud": "sts.amazonaws.com", "sub": subject}
        header, body = (
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "none"}, claims)
        )
        answer = self.cloud.client("sts").assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="job", WebIdentityToken=f"{header}.{body}."
        )
        return {
            "AWS_ACCESS_KEY_ID": answer["Credentials"]["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": answer["Credentials"]["SecretAccessKey"],
            "AWS_SESSION_TOKEN": answer["Credentials"]["SessionToken"],
        }

    def run(self, credentials: dict[str, str], tool: str, *arguments: str) -> Run:
        """Run one of the tools."""
        binaries = Path(sys.executable).parent
        environment = {
            **self.cloud.environment(),
            **credentials,
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "SAM_CLI_TELEMETRY": "0",
            "__SAM_CLI_APP_DIR": str(self.folder),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "GITHUB_OUTPUT": str(self.folder / "output"),
        }
        return subprocess.run(
            [sys.executable, "-m", f"tools.{tool}", *arguments],
            cwd=deploy.PROJECT,
            check=False,
            env=environment,
            capture_output=True,
            text=True,
        )

    def written(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture
def job(cloud: LaptopCloud, tmp_path: Path) -> Job:
    return Job(cloud, tmp_path)


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        ("DeployRoleArn", f"repo:{REPOSITORY}:environment:prod-changes"),
        ("DeployRoleArn", f"repo:{REPOSITORY}:environment:dev"),
        ("DeployRoleArn", f"repo:{REPOSITORY}:ref:refs/heads/main"),
        ("DeployRoleArn", f"repo:{REPOSITORY}:pull_request"),
        ("DeployRoleArn", "repo:somebody/else:environment:prod"),
        ("ChangesRoleArn", f"repo:{REPOSITORY}:environment:prod"),
    ],
)
def test_other_jobs_are_not_let_in(delivery: Outputs, job: Job, role: str, subject: str) -> None:
    with pytest.raises(ClientError, match="Not authorized to perform sts:AssumeRole"):
        job.log_in(delivery[role], subject)


def test_changes_are_shown_and_then_carried_out(
    prod: Stack, build_folder: Path, delivery: Outputs, job: Job
) -> None:
    options = ["--template-file", str(build_folder / "template.yaml")]
    options += ["--config-file", str(deploy.PROJECT / "samconfig.toml")]
    options += ["--role-arn", delivery["ExecutionRoleArn"]]
    options += ["--parameter-overrides", "LogRetentionDays=7"]
    options += ["--s3-bucket", delivery["PackagesBucketName"]]
    looking = job.log_in(delivery["ChangesRoleArn"], f"repo:{REPOSITORY}:environment:prod-changes")
    shown = job.run(looking, "changes", "show", "--env", "prod", *options)
    assert shown.returncode == 0, shown.stderr
    assert "| Modify | SweepLogGroup | AWS::Logs::LogGroup | replaced, maybe |" in shown.stdout
    assert job.written("summary") == shown.stdout
    [change_set] = re.findall("^change_set=(arn:.*:changeSet/.*)$", job.written("output"))

    refused = job.run(looking, "changes", "execute", "--env", "prod", "--change-set", change_set)
    assert refused.returncode == 1
    assert "not authorized to perform: cloudformation:ExecuteChangeSet" in refused.stderr

    replace_packages(prod.cloud, looking, delivery["PackagesBucketName"])
    approved = job.log_in(delivery["DeployRoleArn"], f"repo:{REPOSITORY}:environment:prod")
    executed = job.run(approved, "changes", "execute", "--env", "prod", "--change-set", change_set)
    assert executed.stdout.endswith(f"{NAME} is up to date.\n"), executed.stderr
    [group] = prod.cloud.client("logs").describe_log_groups(
        logGroupNamePrefix=f"/aws/vendedlogs/states/{NAME}-load"
    )["logGroups"]
    assert group["retentionInDays"] == 7
    assert code_of(prod, "SweepFunction") in shown.stdout


def test_package_that_lay_there_before_is_not_shown(
    prod: Stack, build_folder: Path, delivery: Outputs, job: Job
) -> None:
    """SAM does not upload what it finds under the name."""
    bucket = delivery["PackagesBucketName"]
    options = ["--template-file", str(build_folder / "template.yaml"), "--s3-bucket", bucket]
    options += ["--config-file", str(deploy.PROJECT / "samconfig.toml")]
    options += ["--role-arn", delivery["ExecutionRoleArn"]]
    looking = job.log_in(delivery["ChangesRoleArn"], f"repo:{REPOSITORY}:environment:prod-changes")
    job.run(looking, "changes", "show", "--env", "prod", *options)
    replace_packages(prod.cloud, looking, bucket)
    refused = job.run(looking, "changes", "show", "--env", "prod", *options)

    assert refused.returncode == 1
    assert "is not what was built" in refused.stderr


def test_change_set_in_another_role_is_not_made(prod: Stack, delivery: Outputs, job: Job) -> None:
    looking = job.log_in(delivery["ChangesRoleArn"], f"repo:{REPOSITORY}:environment:prod-changes")
    client = client_of(prod.cloud, "cloudformation", looking)
    request = {"StackName": NAME, "ChangeSetName": "samcli-deploy-1", "UsePreviousTemplate": True}
    for role in ({}, {"RoleARN": delivery["DeployRoleArn"]}):
        with pytest.raises(ClientError, match="not authorized"):
            client.create_change_set(**request, **role)


def client_of(cloud: LaptopCloud, service: str, credentials: dict[str, str]) -> Any:
    return boto3.client(
        service,
        endpoint_url=cloud.endpoint_url,
        region_name=REGION,
        **{name.lower(): value for name, value in credentials.items()},
    )


def replace_packages(cloud: LaptopCloud, credentials: dict[str, str], bucket: str) -> None:
    """Put other code in the place of every package, as whoever may make change sets could."""
    own = cloud.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    s3 = client_of(cloud, "s3", credentials)
    for item in own:
        s3.put_object(Bucket=bucket, Key=item["Key"], Body=b"something else")


def code_of(stack: Stack, logical_id: str) -> str:
    """The SHA-256 of what a function runs, in hex."""
    resource = stack.cloud.client("cloudformation").describe_stack_resource(
        StackName=stack.name, LogicalResourceId=logical_id
    )["StackResourceDetail"]
    found = stack.cloud.client("lambda").get_function(FunctionName=resource["PhysicalResourceId"])
    return base64.b64decode(found["Configuration"]["CodeSha256"]).hex()


def test_roles_of_the_pipeline_stay_within_the_boundary(prod: Stack, delivery: Outputs) -> None:
    iam = prod.cloud.client("iam")
    for role in {grant.role for grant in deployed_grants(prod)}:
        iam.put_role_permissions_boundary(
            RoleName=role, PermissionsBoundary=delivery["BoundaryArn"]
        )
    execution = Pipeline(prod).load(("raw/flights/day.csv", WEEK[0]))

    assert execution["status"] == "SUCCEEDED"


def test_file_is_sent_through_what_was_deployed(prod: Stack, delivery: Outputs, job: Job) -> None:
    looking = job.log_in(delivery["ChangesRoleArn"], f"repo:{REPOSITORY}:environment:prod-changes")
    refused = job.run(looking, "smoke", "--env", "prod")
    assert refused.returncode == 1
    assert "AccessDenied" in refused.stderr

    approved = job.log_in(delivery["DeployRoleArn"], f"repo:{REPOSITORY}:environment:prod")
    file = example()
    for _ in range(2):
        sent = job.run(approved, "smoke", "--env", "prod")
        assert re.search(r"Loaded in \d+ s: [1-9]\d* rows, 0 rejected\.\n$", sent.stdout), (
            sent.stderr
        )
    states = f"select status from etl.loaded_files where object_key = '{smoke.key_of(file)}'"
    assert sorted(status for (status,) in prod.query(states)) == ["loaded", "replaced"]
