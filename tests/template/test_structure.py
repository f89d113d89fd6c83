"""One stem everywhere, and nothing of the product knows of the laptop."""

import re
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
FUNCTIONS = [
    name for name, body in RESOURCES.items() if body["Type"] == "AWS::Serverless::Function"
]
MACHINES = [
    name for name, body in RESOURCES.items() if body["Type"] == "AWS::Serverless::StateMachine"
]
PRODUCT = [
    path
    for top in ("template.yaml", "functions", "statemachine", "sql", "events")
    for path in ([ROOT / top] if (ROOT / top).is_file() else sorted((ROOT / top).rglob("*")))
    if path.is_file() and path.suffix != ".parquet" and "__pycache__" not in path.parts
]
SQL_OBJECTS = sorted(
    path
    for folder in ("procedures", "datasets", "views")
    for path in ROOT.glob(f"sql/{folder}/**/*.sql")
)


def stem_of(logical_id: str, kind: str) -> str:
    assert logical_id.endswith(kind), f"{logical_id} should be called <Noun>{kind}"
    return re.sub(r"(?<!^)(?=[A-Z])", "_", logical_id.removesuffix(kind)).lower()


def test_functions_were_found() -> None:
    assert set(FUNCTIONS) == {
        "StartLoadsFunction",
        "SweepFunction",
        "MeasureLoadsFunction",
        "ApplySqlFunction",
        "RotateSecretFunction",
    }
    assert MACHINES == ["LoadStateMachine", "AbandonedLoadStateMachine"]


@pytest.mark.parametrize("logical_id", FUNCTIONS)
def test_function_has_one_stem(logical_id: str) -> None:
    stem = stem_of(logical_id, "Function")
    properties = RESOURCES[logical_id]["Properties"]

    assert properties["CodeUri"] == f"functions/{stem}"
    assert properties["Handler"] == f"{stem}.handler.handler"
    assert f"build-{logical_id}:" in (ROOT / f"functions/{stem}/Makefile").read_text()
    assert list((ROOT / f"events/{stem}").glob("*.json"))
    assert list((ROOT / f"tests/unit/{stem}").glob("test_*.py"))
    assert properties["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == stem


@pytest.mark.parametrize("logical_id", FUNCTIONS)
def test_function_runs_on_the_chosen_processor(logical_id: str) -> None:
    properties = TEMPLATE["Globals"]["Function"] | RESOURCES[logical_id]["Properties"]

    assert properties["Architectures"] == [{"Ref": "Architecture"}]
    assert TEMPLATE["Parameters"]["Architecture"]["AllowedValues"] == ["arm64", "x86_64"]


@pytest.mark.parametrize("logical_id", MACHINES)
def test_state_machine_has_one_stem(logical_id: str) -> None:
    stem = stem_of(logical_id, "StateMachine")

    assert RESOURCES[logical_id]["Properties"]["DefinitionUri"] == f"statemachine/{stem}.asl.yaml"


def test_each_function_folder_is_deployed() -> None:
    folders = {path.parent.name for path in ROOT.glob("functions/*/handler.py")}

    assert folders == {stem_of(name, "Function") for name in FUNCTIONS}


@pytest.mark.parametrize("path", SQL_OBJECTS, ids=lambda path: path.stem)
def test_sql_file_is_named_as_the_object_it_makes(path: Path) -> None:
    made = re.search(
        r"^create (?:or replace )?(?:table|procedure|view)(?: if not exists)? \w+\.(\w+)",
        path.read_text(),
        re.MULTILINE,
    )

    assert made is not None
    assert made[1] == path.stem


@pytest.mark.parametrize("path", SQL_OBJECTS, ids=lambda path: path.stem)
def test_sql_file_has_a_header(path: Path) -> None:
    header = path.read_text().partition("\ncreate")[0]

    assert re.match(r"(-- Written by `make datasets` .*\n)?-- Purpose:", header)
    if "create or replace procedure" in path.read_text():
        for entry in ("Rerun:", "Example:"):
            assert entry in header


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_product_knows_nothing_of_the_laptop(path: Path) -> None:
    words = re.compile(
        r"ministack|localstack|moto\b|localhost|127\.0\.0\.1|postgres|is_?local|endpoint_url", re.I
    )

    assert words.findall(path.read_text()) == []


def test_outputs_that_others_rely_on() -> None:
    assert set(TEMPLATE["Outputs"]) == {
        "RawBucketName",
        "ArchiveBucketName",
        "IngestQueueUrl",
        "IngestDeadLetterQueueUrl",
        "StartLoadsFunctionName",
        "SweepFunctionName",
        "LoadStateMachineArn",
        "AbandonedLoadStateMachineArn",
        "BusinessTopicArn",
        "SupportTopicArn",
        "WorkgroupName",
        "DatabaseName",
        "AdminSecretArn",
        "LoaderSecretArn",
        "SpectrumRoleArn",
        "GlueDatabaseName",
        "WarehouseIsolation",
        # The runbook's commands name them.
        "IngestQueueArn",
        "IngestDeadLetterQueueArn",
        *(name.removesuffix("Function") + "LogGroupName" for name in FUNCTIONS),
        *(name.removesuffix("StateMachine") + "LogGroupName" for name in MACHINES),
    }


def test_every_resource_type_with_logs_keeps_them_for_a_stated_time() -> None:
    groups = [body for body in RESOURCES.values() if body["Type"] == "AWS::Logs::LogGroup"]

    assert len(groups) == len(FUNCTIONS) + len(MACHINES)
    assert all(
        body["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"} for body in groups
    )


@pytest.mark.parametrize("bucket", ["RawBucket", "ArchiveBucket"])
def test_bucket_is_versioned_private_encrypted_and_kept(bucket: str) -> None:
    body = RESOURCES[bucket]
    properties = body["Properties"]

    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["BucketEncryption"]
    assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == (
        "RetainExceptOnCreate",
        "Retain",
    )


def statements() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, body in RESOURCES.items():
        for policy in body.get("Properties", {}).get("Policies", []):
            document = policy.get("PolicyDocument", policy)
            # A statement may hang on a condition.
            found += [(name, entry.get("Fn::If", [0, entry])[1]) for entry in document["Statement"]]
    return found


@pytest.mark.parametrize(("name", "statement"), statements(), ids=lambda value: str(value)[:40])
def test_policy_statement_is_narrow(name: str, statement: dict[str, Any]) -> None:
    actions = (
        statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    )
    unscopable = {
        "redshift-data:DescribeStatement",
        "redshift-data:GetStatementResult",
        "redshift-data:CancelStatement",
        "redshift-data:ListStatements",
        "redshift-serverless:ListWorkgroups",
        "redshift:DescribeClusters",
    }

    assert not [action for action in actions if "*" in action]
    if statement["Resource"] == "*":
        assert all(a in unscopable or a.startswith(("logs:", "xray:")) for a in actions), name


def test_batch_is_large_only_with_a_window() -> None:
    queue = RESOURCES["StartLoadsFunction"]["Properties"]["Events"]["IngestQueue"]["Properties"]

    assert queue["BatchSize"] == {"Fn::If": ["HasBatchWindow", 10000, 10]}
    assert TEMPLATE["Parameters"]["BatchWindowSeconds"]["MinValue"] == 0
