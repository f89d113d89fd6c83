"""What can be brought along: each combination is translated, decided and linted by itself."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cfnlint.api
import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = (Path(__file__).parents[2] / "template.yaml").read_text()
ACCOUNT = "arn:aws:{}:us-east-1:123456789012:{}"
SECRET = {"WarehouseSecretArn": ACCOUNT.format("secretsmanager", "secret:admin-a1b2c3")}
WAREHOUSES = {
    "made": {},
    "made in a VPC": {
        "SubnetIds": "subnet-00000001,subnet-00000002,subnet-00000003",
        "SecurityGroupIds": "sg-00000001",
    },
    "workgroup": {**SECRET, "WorkgroupArn": ACCOUNT.format("redshift-serverless", "workgroup/0-1")},
    "cluster": {**SECRET, "ClusterArn": ACCOUNT.format("redshift", "cluster:sales")},
}
KEYS = {
    "a key made": {},
    "a key brought": {"KmsKeyArn": ACCOUNT.format("kms", "key/1-2")},
    "keys of AWS": {"KmsKeyArn": "aws-managed"},
}
ROLES = {
    "unbounded": {},
    "bounded": {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary"},
}
MAKERS = {"WarehouseNamespace", "WarehouseWorkgroup", "AdminSecret", "AdminRotation"}
GONE = object()
Values = dict[str, str]


class ManagedPolicies:
    """SAM asks for the names of managed policies, of which the template has none."""

    def load(self) -> dict[str, str]:
        return {}


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def combinations() -> Iterator[Any]:
    for chosen in itertools.product(WAREHOUSES.items(), KEYS.items(), ROLES.items()):
        values = {name: value for _, part in chosen for name, value in part.items()}
        yield pytest.param(values, id=", ".join(name for name, _ in chosen))


def deployed(values: Values) -> dict[str, Any]:
    """The template as SAM translates it, with these parameters' conditions decided."""
    template = yaml_parse(TEMPLATE)
    for name, body in template["Resources"].items():
        if body["Type"] in ("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
            kind = "CodeUri" if "CodeUri" in body["Properties"] else "DefinitionUri"
            body["Properties"][kind] = f"s3://packages/{name}"
    translated = transform(template, {}, ManagedPolicies())
    defaults = {name: body["Default"] for name, body in translated["Parameters"].items()}
    conditions = Conditions(translated.pop("Conditions"), {**defaults, **values})
    for section in ("Resources", "Outputs"):
        translated[section] = {
            name: {k: v for k, v in decided(body, conditions).items() if k != "Condition"}
            for name, body in translated[section].items()
            if conditions.hold(body.get("Condition"))
        }
    # The linter judges a parameter by its default.
    for name, value in values.items():
        translated["Parameters"][name]["Default"] = value
    del translated["Rules"]
    return dict(translated)


class Conditions:
    """The template's conditions, under given parameters."""

    def __init__(self, definitions: dict[str, Any], values: Values) -> None:
        self._definitions = definitions
        self._values = values

    def hold(self, name: str | None) -> bool:
        return name is None or self._is(self._definitions[name])

    def broken(self, rules: dict[str, Any]) -> list[str]:
        """What CloudFormation says when it refuses the parameters."""
        return [
            assertion["AssertDescription"]
            for rule in rules.values()
            if self._is(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._is(assertion["Assert"])
        ]

    def _is(self, test: dict[str, Any]) -> bool:
        [(function, argument)] = test.items()
        match function:
            case "Condition":
                return self.hold(argument)
            case "Fn::Not":
                return not self._is(argument[0])
            case "Fn::And":
                return all(map(self._is, argument))
            case "Fn::Or":
                return any(map(self._is, argument))
            case "Fn::Equals":
                one, other = map(self._value, argument)
                return one == other
        raise AssertionError(f"unknown in a condition: {function}")

    def _value(self, value: Any) -> str:
        match value:
            case {"Ref": name}:
                return str(self._values[name])
            case {"Fn::Join": [_, {"Ref": name}]}:
                return str(self._values[name]).replace(",", "")
        return str(value)


def decided(value: Any, conditions: Conditions) -> Any:
    """The value without Fn::If and without what AWS::NoValue takes away."""
    match value:
        case {"Fn::If": [name, then, otherwise]}:
            return decided(then if conditions.hold(name) else otherwise, conditions)
        case {"Ref": "AWS::NoValue"}:
            return GONE
        case dict():
            parts = {key: decided(part, conditions) for key, part in value.items()}
            return {key: part for key, part in parts.items() if part is not GONE}
        case list():
            return [part for part in (decided(p, conditions) for p in value) if part is not GONE]
    return value


def lint(template: dict[str, Any]) -> list[str]:
    # W2001: a parameter that this combination has no use for. I3: matters of taste.
    return [
        str(match)
        for match in cfnlint.api.lint(json.dumps(template), regions=["us-east-1"])
        if match.rule.id != "W2001" and not match.rule.id.startswith("I")
    ]


@pytest.mark.long
@pytest.mark.parametrize("values", list(combinations()))
def test_combination_is_valid(values: Values) -> None:
    assert lint(deployed(values)) == []


def refused(values: Values) -> list[str]:
    template = yaml_parse(TEMPLATE)
    defaults = {name: body.get("Default", "") for name, body in template["Parameters"].items()}
    return Conditions({}, {**defaults, **values}).broken(template["Rules"])


@pytest.mark.parametrize("values", list(combinations()))
def test_rules_take_each_combination(values: Values) -> None:
    assert refused(values) == []


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["WorkgroupArn"], "A warehouse of yours needs WarehouseSecretArn"),
        (["ClusterArn"], "A warehouse of yours needs WarehouseSecretArn"),
        (
            ["WorkgroupArn", "ClusterArn", "WarehouseSecretArn"],
            "Give WorkgroupArn or ClusterArn, not both.",
        ),
    ],
)
def test_rules_refuse_what_cannot_be_deployed(names: list[str], reason: str) -> None:
    known = {**WAREHOUSES["workgroup"], **WAREHOUSES["cluster"]}
    [told] = refused({name: known[name] for name in names})

    assert told.startswith(reason)


@pytest.mark.parametrize("name", ["workgroup", "cluster"])
def test_nothing_is_made_beside_a_warehouse_that_was_brought(name: str) -> None:
    resources = deployed(WAREHOUSES[name])["Resources"]

    assert not MAKERS & set(resources)
    assert set(deployed({})["Resources"]) - set(resources) == MAKERS


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("made", "WorkgroupName"), ("workgroup", "WorkgroupName"), ("cluster", "ClusterIdentifier")],
)
def test_warehouse_is_called_by_what_the_data_api_knows(name: str, parameter: str) -> None:
    resources = deployed(WAREHOUSES[name])["Resources"]
    machine = resources["LoadStateMachine"]["Properties"]["DefinitionSubstitutions"]

    assert machine["WarehouseParameter"] == parameter
    assert machine["WarehouseName"] == called(name)
    # A custom resource is asked again when one of its properties changes, and only then.
    assert resources["AppliedSql"]["Properties"]["Warehouse"] == called(name)
    for function in ("ApplySqlFunction", "RotateSecretFunction"):
        variables = resources[function]["Properties"]["Environment"]["Variables"]
        assert variables["WAREHOUSE_PARAMETER"] == parameter
        assert variables["WAREHOUSE_NAME"] == called(name)


@pytest.mark.parametrize("name", list(WAREHOUSES))
def test_secrets_of_the_stack_and_no_others_are_completed(name: str) -> None:
    resources = deployed(WAREHOUSES[name])["Resources"]
    secrets = [n for n, body in resources.items() if body["Type"] == "AWS::SecretsManager::Secret"]
    completed = resources["AppliedSql"]["Properties"]["Secrets"]

    assert sorted(secret["Ref"] for secret in completed) == sorted(secrets)


def called(name: str) -> Any:
    if name == "made":
        return {"Ref": "WarehouseWorkgroup"}
    if name == "workgroup":
        return {"Ref": "WorkgroupArn"}
    return {"Fn::Select": [6, {"Fn::Split": [":", {"Fn::Sub": "${ClusterArn}::::::"}]}]}


def test_workgroup_lies_in_the_subnets_that_were_brought() -> None:
    properties = deployed(WAREHOUSES["made in a VPC"])["Resources"]["WarehouseWorkgroup"][
        "Properties"
    ]

    assert properties["SubnetIds"] == {"Ref": "SubnetIds"}
    assert properties["SecurityGroupIds"] == {"Ref": "SecurityGroupIds"}


def test_every_role_is_under_the_boundary() -> None:
    resources = deployed(ROLES["bounded"])["Resources"].values()
    roles = [body["Properties"] for body in resources if body["Type"] == "AWS::IAM::Role"]

    assert len(roles) > 5
    assert [role.get("PermissionsBoundary") for role in roles] == [
        {"Ref": "PermissionsBoundaryArn"}
    ] * len(roles)
