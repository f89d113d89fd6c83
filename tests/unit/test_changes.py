"""tools/changes.py: what an approver reads."""

from typing import Any

import pytest

from tools import changes


def change(action: str, name: str, kind: str, replacement: str = "") -> dict[str, Any]:
    return {
        "Action": action,
        "LogicalResourceId": name,
        "ResourceType": kind,
        **({"Replacement": replacement} if replacement else {}),
    }


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (change("Add", "Raw", "AWS::S3::Bucket"), ""),
        (change("Modify", "Raw", "AWS::S3::Bucket", "False"), ""),
        (change("Modify", "Raw", "AWS::S3::Bucket", "True"), "**replaced, with its data**"),
        (change("Remove", "Raw", "AWS::S3::Bucket"), "**removed, with its data**"),
        (change("Modify", "Rule", "AWS::Events::Rule", "Conditional"), "replaced, maybe"),
        (change("Remove", "Rule", "AWS::Events::Rule"), "removed"),
    ],
)
def test_what_may_be_lost_is_said(one: dict[str, Any], told: str) -> None:
    assert changes.warning(one) == told


def test_what_needs_a_second_look_stands_first() -> None:
    found = [
        change("Modify", "Alarm", "AWS::CloudWatch::Alarm", "False"),
        change("Remove", "Warehouse", "AWS::RedshiftServerless::Namespace"),
    ]

    assert list(changes.table("prod", found)) == [
        "### prod: 2 resources change",
        "",
        "| Action | Resource | Type | Mind |",
        "| --- | --- | --- | --- |",
        "| Remove | Warehouse | AWS::RedshiftServerless::Namespace | **removed, with its data** |",
        "| Modify | Alarm | AWS::CloudWatch::Alarm |  |",
    ]


def test_execute_takes_no_options_of_sam(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        changes.main(["execute", "--env", "prod", "--change-set", "arn", "--role-arn", "x"])
    assert "unknown: --role-arn x" in capsys.readouterr().err


def test_environment_that_is_not_known_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert changes.main(["execute", "--env", "test", "--change-set", "arn"]) == 1
    assert "no environment 'test', but dev, prod." in capsys.readouterr().err
