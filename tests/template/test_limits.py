"""CloudFormation's quotas, and that no parameter lets in what a service refuses later."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from local import refusals
from tests.template.test_combinations import deployed
from tools.datasets.reading import read_folder
from tools.datasets.resources import BEGIN, END, with_datasets
from tools.datasets.spec import Dataset

ROOT = Path(__file__).parents[2]

WITH_ALL = {
    "BusinessEmail": "business@example.com",
    "SupportEmail": "support@example.com",
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return deployed(WITH_ALL)


@pytest.fixture(scope="module")
def parameters(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(template["Parameters"])


def test_template_is_within_the_quotas_of_cloudformation(template: dict[str, Any]) -> None:
    """CloudFormation's user guide, "Understand CloudFormation quotas"."""
    # Conditions and rules are left out here, and take some of it.
    assert len(json.dumps(template, indent=2)) < 900_000
    assert len(template["Description"].encode()) <= 1_024
    for section, most in (("Resources", 500), ("Parameters", 200), ("Outputs", 200)):
        assert len(template[section]) <= most
        assert all(re.fullmatch("[A-Za-z0-9]{1,255}", name) for name in template[section])
    for body in template["Outputs"].values():
        assert len(body["Description"].encode()) <= 1_024
    for body in template["Parameters"].values():
        assert len(body["Description"]) <= 4_000


def test_each_capacity_that_may_be_chosen_is_one_of_redshift_s(parameters: Any) -> None:
    for capacity in parameters["BaseCapacity"]["AllowedValues"]:
        refusals.check(
            "AWS::RedshiftServerless::Workgroup",
            {"WorkgroupName": "pipeline", "BaseCapacity": capacity},
        )


@pytest.mark.parametrize("name", ["dev", "_dev", "1st", "Sales", "sales_2", "sales-2"])
def test_database_s_name_is_taken_only_where_redshift_takes_it(parameters: Any, name: str) -> None:
    if re.search(parameters["DatabaseName"]["AllowedPattern"], name):
        refusals.check(
            "AWS::RedshiftServerless::Namespace", {"NamespaceName": "pipeline", "DbName": name}
        )


@pytest.mark.parametrize("endpoint", ["", "a@example.com", "a@b", "a b@example.com", "a,b@c.d@e"])
def test_address_is_taken_only_where_sns_takes_it(parameters: Any, endpoint: str) -> None:
    for parameter in ("BusinessEmail", "SupportEmail"):
        if endpoint and re.search(parameters[parameter]["AllowedPattern"], endpoint):
            subscription = {"TopicArn": "arn", "Protocol": "email", "Endpoint": endpoint}
            refusals.check("AWS::SNS::Subscription", subscription)


def test_longest_freshness_is_one_that_an_alarm_can_look_back(tmp_path: Path) -> None:
    bounds = Dataset.model_fields["freshness_hours"].metadata
    [longest] = [bound.le for bound in bounds if hasattr(bound, "le")]
    spec = (ROOT / "sql/datasets/flights/dataset.yaml").read_text()
    (tmp_path / "flights").mkdir()
    (tmp_path / "flights" / "dataset.yaml").write_text(f"{spec}freshness_hours: {longest}\n")
    folder = read_folder(tmp_path / "flights")
    resources = yaml_parse(with_datasets(f"{BEGIN}\n{END}\n", [folder]))
    alarm = resources["FlightsStaleAlarm"]["Properties"]

    assert alarm["EvaluationPeriods"] == longest
    assert list(refusals.alarm_looks_back_a_day_at_most(alarm)) == []


def test_shortest_sweep_is_a_schedule(parameters: Any) -> None:
    for minutes in (parameters["SweepMinutes"]["MinValue"], parameters["SweepMinutes"]["MaxValue"]):
        schedule = {"ScheduleExpression": f"rate({minutes} minutes)"}
        assert list(refusals.schedule_is_spelt_as_english(schedule)) == []


def test_rotation_and_retention_are_within_their_services_bounds(parameters: Any) -> None:
    rotation = parameters["RotationDays"]
    for days in (rotation["MinValue"], rotation["MaxValue"]):
        rules = {"SecretId": "arn", "RotationRules": {"AutomaticallyAfterDays": days}}
        refusals.check("AWS::SecretsManager::RotationSchedule", rules)
    for days in parameters["LogRetentionDays"]["AllowedValues"]:
        refusals.check("AWS::Logs::LogGroup", {"RetentionInDays": days})
