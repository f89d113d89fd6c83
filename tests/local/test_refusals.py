"""What AWS refuses at creation: each rule, broken once. The deployed template breaks none."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from local import refusals, registry

ACCOUNT = "arn:aws:{}:us-east-1:000000000000:{}"
TOPIC = ACCOUNT.format("sns", "support")
QUEUE = ACCOUNT.format("sqs", "ingest")
BUCKET = "arn:aws:s3:::pipeline-raw"
LONG = "x" * 20_000


def policy(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    statement = {"Sid": "One", "Effect": "Deny", "Principal": "*", "Action": action}
    return {"Version": "2012-10-17", "Statement": [{**statement, "Resource": resource, **more}]}


def of_role(**more: Any) -> list[dict[str, Any]]:
    document = policy("s3:GetObject", "*", **{"Effect": "Allow", **more})
    document["Statement"][0].pop("Principal" if "Principal" not in more else "", None)
    return [{"PolicyName": "One", "PolicyDocument": document}]


def trust(service: str = "lambda.amazonaws.com", **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [{**statement, **more}]}


ROOT = {"AWS": "arn:aws:iam::000000000000:root"}
WIDGET = {"type": "metric", "x": 0, "width": 8, "properties": {}}
COLUMNS = [{"Name": "year", "Type": "string"}, {"Name": "Year", "Type": "string"}]

VALID: dict[str, dict[str, Any]] = {
    "AWS::CloudWatch::Alarm": {
        "ComparisonOperator": "LessThanThreshold",
        "EvaluationPeriods": "168",
        "MetricName": "FilesLoaded",
        "Namespace": "pipeline",
        "Period": 3600,
        "Statistic": "Sum",
        "Threshold": 1,
    },
    "AWS::CloudWatch::CompositeAlarm": {"AlarmRule": 'ALARM(one) OR ALARM("the other")'},
    "AWS::CloudWatch::Dashboard": {"DashboardBody": '{"widgets": []}'},
    "AWS::Events::Rule": {
        "ScheduleExpression": "rate(15 minutes)",
        "Targets": [{"Id": "One", "Arn": ACCOUNT.format("lambda", "function:sweep")}],
    },
    "AWS::Glue::Database": {"CatalogId": "000000000000", "DatabaseInput": {"Name": "pipeline"}},
    "AWS::Glue::Table": {
        "CatalogId": "000000000000",
        "DatabaseName": "pipeline",
        "TableInput": {"Name": "flights", "StorageDescriptor": {"Columns": COLUMNS[:1]}},
    },
    "AWS::IAM::Role": {"AssumeRolePolicyDocument": trust(), "Policies": of_role()},
    "AWS::KMS::Key": {
        "KeyPolicy": policy("kms:*", "*", Effect="Allow", Principal=ROOT),
        "EnableKeyRotation": True,
    },
    "AWS::Lambda::EventSourceMapping": {
        "EventSourceArn": QUEUE,
        "FunctionName": "start-loads",
        "BatchSize": 10_000,
        "MaximumBatchingWindowInSeconds": "1",
        "ScalingConfig": {"MaximumConcurrency": 2},
    },
    "AWS::Lambda::Function": {
        "Code": {"S3Bucket": "packages", "S3Key": "package"},
        "Role": "arn:aws:iam::000000000000:role/start-loads",
        "Runtime": "python3.13",
        "Environment": {"Variables": {"STATE_MACHINE_ARN": "one"}},
    },
    "AWS::Logs::LogGroup": {"RetentionInDays": "30"},
    "AWS::RedshiftServerless::Namespace": {
        "NamespaceName": "pipeline",
        "DbName": "dev",
        "AdminUsername": "etl_admin",
        "AdminUserPassword": "Secret-1",
    },
    "AWS::RedshiftServerless::Workgroup": {
        "WorkgroupName": "pipeline",
        "BaseCapacity": "8",
        "ConfigParameters": [{"ParameterKey": "require_ssl", "ParameterValue": "true"}],
    },
    "AWS::S3::Bucket": {
        "LifecycleConfiguration": {
            "Rules": [{"Id": "One", "Status": "Enabled", "ExpirationInDays": 7}]
        }
    },
    "AWS::S3::BucketPolicy": {
        "Bucket": "pipeline-raw",
        "PolicyDocument": policy("s3:*", [BUCKET, f"{BUCKET}/*"]),
    },
    "AWS::SNS::Subscription": {
        "TopicArn": TOPIC,
        "Protocol": "email",
        "Endpoint": "support@example.com",
        "FilterPolicy": {"dataset": ["flights"]},
    },
    "AWS::SNS::TopicPolicy": {"Topics": [TOPIC], "PolicyDocument": policy("sns:Publish", TOPIC)},
    "AWS::SQS::Queue": {
        "KmsMasterKeyId": "key",
        "RedrivePolicy": {"deadLetterTargetArn": QUEUE, "maxReceiveCount": 5},
    },
    "AWS::SQS::QueuePolicy": {"Queues": [QUEUE], "PolicyDocument": policy("sqs:*", QUEUE)},
    "AWS::SecretsManager::RotationSchedule": {
        "SecretId": "secret",
        "RotationRules": {"AutomaticallyAfterDays": "30"},
    },
    "AWS::SecretsManager::Secret": {
        "GenerateSecretString": {
            "SecretStringTemplate": '{"username": "etl_admin"}',
            "GenerateStringKey": "password",
            "PasswordLength": 48,
        }
    },
    "AWS::StepFunctions::StateMachine": {
        "RoleArn": "arn:aws:iam::000000000000:role/load",
        "LoggingConfiguration": {
            "Level": "ALL",
            "Destinations": [
                {"CloudWatchLogsLogGroup": {"LogGroupArn": ACCOUNT.format("logs", "log-group:l:*")}}
            ],
        },
    },
}


def changed(kind: str, **changes: Any) -> dict[str, Any]:
    """Valid properties with some of them changed."""
    return {**copy.deepcopy(VALID[kind]), **changes}


# A rule, the type it is held against, and what breaks it.
BROKEN: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "topic_policy_names_its_topic",
        "AWS::SNS::TopicPolicy",
        {"PolicyDocument": policy("sns:Publish", [TOPIC, f"{TOPIC}-too"])},
        "Policy statement must apply to a single resource!",
    ),
    (
        "topic_policy_names_its_topic",
        "AWS::SNS::TopicPolicy",
        {"PolicyDocument": policy("sns:Publish", f"{TOPIC}-too")},
        "Invalid resource",
    ),
    (
        "topic_policy_is_within_quotas",
        "AWS::SNS::TopicPolicy",
        {"PolicyDocument": policy("sns:*", TOPIC)},
        "out of service scope",
    ),
    (
        "topic_policy_is_within_quotas",
        "AWS::SNS::TopicPolicy",
        {"PolicyDocument": {"Statement": policy("sns:Publish", TOPIC)["Statement"] * 2}},
        "must be unique",
    ),
    (
        "subscription_has_an_address",
        "AWS::SNS::Subscription",
        {"Endpoint": "support at example.com"},
        "Email address",
    ),
    (
        "filter_policy_is_within_quotas",
        "AWS::SNS::Subscription",
        {"FilterPolicy": {"dataset": [str(number) for number in range(151)]}},
        "too complex",
    ),
    (
        "queue_policy_is_within_quotas",
        "AWS::SQS::QueuePolicy",
        {"PolicyDocument": policy([f"sqs:{number}" for number in range(8)], QUEUE)},
        "more than 7 actions",
    ),
    (
        "queue_policy_is_within_quotas",
        "AWS::SQS::QueuePolicy",
        {"PolicyDocument": policy("sns:Publish", QUEUE)},
        "out of service scope",
    ),
    ("queue_is_encrypted_once", "AWS::SQS::Queue", {"SqsManagedSseEnabled": "true"}, "one type"),
    (
        "queue_is_named_for_its_kind",
        "AWS::SQS::Queue",
        {"FifoQueue": True, "QueueName": "q"},
        "fifo",
    ),
    (
        "queue_gives_up_after_some_tries",
        "AWS::SQS::Queue",
        {"RedrivePolicy": {"deadLetterTargetArn": QUEUE, "maxReceiveCount": 1001}},
        "maxReceiveCount",
    ),
    (
        "bucket_is_encrypted_by_one_key",
        "AWS::S3::Bucket",
        {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {
                        "ServerSideEncryptionByDefault": {
                            "SSEAlgorithm": "AES256",
                            "KMSMasterKeyID": "key",
                        }
                    }
                ]
            }
        },
        "not applicable",
    ),
    (
        "lifecycle_rules_do_something",
        "AWS::S3::Bucket",
        {"LifecycleConfiguration": {"Rules": [{"Id": "One", "Status": "Enabled"}]}},
        "At least one action",
    ),
    (
        "lifecycle_rules_do_something",
        "AWS::S3::Bucket",
        {
            "LifecycleConfiguration": {
                "Rules": [{"Id": "One", "Status": "Enabled", "ExpirationInDays": 1}] * 2
            }
        },
        "unique",
    ),
    (
        "lifecycle_rules_do_something",
        "AWS::S3::Bucket",
        {
            "LifecycleConfiguration": {
                "Rules": [
                    {
                        "Status": "Enabled",
                        "ExpirationInDays": 1,
                        "ExpiredObjectDeleteMarker": True,
                    }
                ]
            }
        },
        "cannot be specified with Days",
    ),
    (
        "bucket_policy_is_about_its_bucket",
        "AWS::S3::BucketPolicy",
        {"PolicyDocument": policy("s3:*", "arn:aws:s3:::another/*")},
        "invalid resource",
    ),
    (
        "bucket_policy_is_about_its_bucket",
        "AWS::S3::BucketPolicy",
        {"PolicyDocument": policy("s3:GetObject", f"{BUCKET}/*", Effect="Allow")},
        "BlockPublicPolicy",
    ),
    (
        "bucket_policy_is_about_its_bucket",
        "AWS::S3::BucketPolicy",
        {"PolicyDocument": policy("s3:*", BUCKET, Sid=LONG * 2)},
        "20 kB",
    ),
    (
        "key_can_be_managed_later",
        "AWS::KMS::Key",
        {"KeyPolicy": policy("kms:Decrypt", "*", Effect="Allow", Principal=ROOT)},
        "will not allow you to update the key policy",
    ),
    (
        "role_policies_fit",
        "AWS::IAM::Role",
        {"Policies": of_role(Resource=[f"arn:aws:s3:::{LONG}"])},
        "Maximum policy size",
    ),
    (
        "role_policies_fit",
        "AWS::IAM::Role",
        {"AssumeRolePolicyDocument": trust("x" * 2_048)},
        "ACLSizePerRole",
    ),
    (
        "role_policies_fit",
        "AWS::IAM::Role",
        {"Policies": of_role(Sid="Not-Plain")},
        "letters and digits",
    ),
    (
        "role_policies_fit",
        "AWS::IAM::Role",
        {"Policies": of_role(Principal="*")},
        "should not specify a principal",
    ),
    (
        "role_policies_fit",
        "AWS::IAM::Role",
        {"Policies": of_role(Resource=[])},
        "must contain resources",
    ),
    (
        "role_policies_fit",
        "AWS::IAM::Role",
        {"Policies": of_role(Action="GetObject")},
        "prefaced by a vendor",
    ),
    ("role_is_described_in_latin", "AWS::IAM::Role", {"Description": "a \u2013 b"}, "description"),
    (
        "role_trusts_somebody",
        "AWS::IAM::Role",
        {"AssumeRolePolicyDocument": trust(Resource="*")},
        "prohibited field Resource",
    ),
    (
        "function_environment_fits",
        "AWS::Lambda::Function",
        {"Environment": {"Variables": {"MANIFEST": "x" * 4_096}}},
        "4KB limit",
    ),
    (
        "function_environment_fits",
        "AWS::Lambda::Function",
        {"Environment": {"Variables": {"AWS_REGION": "us-east-1"}}},
        "reserved keys",
    ),
    (
        "function_runtime_is_supported",
        "AWS::Lambda::Function",
        {"Runtime": "python3.11"},
        "no longer supported",
    ),
    (
        "mapping_batches_within_a_window",
        "AWS::Lambda::EventSourceMapping",
        {"MaximumBatchingWindowInSeconds": "0"},
        "must be greater than 0",
    ),
    (
        "rule_has_something_to_go_by",
        "AWS::Events::Rule",
        {"EventPattern": {"source": [LONG]}},
        "pattern is not valid",
    ),
    (
        "schedule_is_spelt_as_english",
        "AWS::Events::Rule",
        {"ScheduleExpression": "rate(1 minutes)"},
        "ScheduleExpression is not valid",
    ),
    (
        "targets_are_within_quotas",
        "AWS::Events::Rule",
        {"Targets": [{"Id": "One", "Arn": ACCOUNT.format("states", "stateMachine:load")}]},
        "RoleArn is required",
    ),
    (
        "machine_logs_to_a_whole_group",
        "AWS::StepFunctions::StateMachine",
        {
            "LoggingConfiguration": {
                "Level": "ALL",
                "Destinations": [
                    {"CloudWatchLogsLogGroup": {"LogGroupArn": ACCOUNT.format("logs", "l")}}
                ],
            }
        },
        "must end with",
    ),
    (
        "catalog_names_are_lower_case",
        "AWS::Glue::Database",
        {"DatabaseInput": {"Name": "Pipeline"}},
        "lower-case",
    ),
    (
        "columns_are_told_apart",
        "AWS::Glue::Table",
        {"TableInput": {"Name": "flights", "StorageDescriptor": {"Columns": COLUMNS}}},
        "twice",
    ),
    (
        "secret_is_generated_whole",
        "AWS::SecretsManager::Secret",
        {"GenerateSecretString": {"SecretStringTemplate": "{}"}},
        "both SecretStringTemplate and GenerateStringKey",
    ),
    (
        "secret_is_named_within_its_alphabet",
        "AWS::SecretsManager::Secret",
        {"Name": "of the loader"},
        "Invalid name",
    ),
    (
        "rotation_has_one_schedule",
        "AWS::SecretsManager::RotationSchedule",
        {"RotationRules": {"AutomaticallyAfterDays": 1, "ScheduleExpression": "rate(1 day)"}},
        "both",
    ),
    (
        "database_is_named_as_redshift_does",
        "AWS::RedshiftServerless::Namespace",
        {"DbName": "_dev"},
        "#/DbName",
    ),
    (
        "administrator_s_password_is_given_once",
        "AWS::RedshiftServerless::Namespace",
        {"ManageAdminPassword": "true"},
        "manageAdminPassword",
    ),
    (
        "capacity_comes_in_steps",
        "AWS::RedshiftServerless::Workgroup",
        {"BaseCapacity": 10},
        "multiple of 8",
    ),
    (
        "settings_are_known",
        "AWS::RedshiftServerless::Workgroup",
        {"ConfigParameters": [{"ParameterKey": "ssl", "ParameterValue": "true"}]},
        "not a valid config parameter",
    ),
    (
        "alarm_looks_back_a_day_at_most",
        "AWS::CloudWatch::Alarm",
        {"EvaluationPeriods": 169},
        "more than a day",
    ),
    (
        "alarm_looks_back_a_day_at_most",
        "AWS::CloudWatch::Alarm",
        {"Period": 90, "EvaluationPeriods": 1},
        "Invalid period",
    ),
    (
        "alarm_is_described_briefly",
        "AWS::CloudWatch::Alarm",
        {"AlarmActions": [TOPIC] * 6},
        "AlarmActions",
    ),
    (
        "composite_rule_fits",
        "AWS::CloudWatch::CompositeAlarm",
        {"AlarmRule": " OR ".join(f"ALARM(a{number})" for number in range(101))},
        "too long",
    ),
    (
        "dashboard_can_be_drawn",
        "AWS::CloudWatch::Dashboard",
        {"DashboardBody": '{"widgets": [}'},
        "valid JSON",
    ),
]


def rules() -> Iterator[tuple[str, refusals.Rule]]:
    for kind, held in refusals.RULES.items():
        for rule in held:
            yield kind, rule


@pytest.mark.parametrize("kind", VALID)
def test_what_aws_takes_is_taken(kind: str) -> None:
    refusals.check(kind, changed(kind))


@pytest.mark.parametrize(
    ("rule", "kind", "changes", "text"), BROKEN, ids=[f"{case[0]}: {case[3]}" for case in BROKEN]
)
def test_what_aws_refuses_is_refused(
    rule: str, kind: str, changes: dict[str, Any], text: str
) -> None:
    properties = changed(kind, **changes)
    [held] = [one for one in refusals.RULES[kind] if one.__name__ == rule]

    assert any(text in refusal for refusal in held(properties))
    with pytest.raises(refusals.Refused):
        refusals.check(kind, properties)


def test_each_rule_was_seen_to_refuse() -> None:
    assert {rule.__name__ for _, rule in rules()} == {case[0] for case in BROKEN}


@pytest.mark.parametrize(
    "rule", dict.fromkeys(rule for _, rule in rules()), ids=lambda rule: rule.__name__
)
def test_rule_names_its_source(rule: refusals.Rule) -> None:
    assert rule.__doc__


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        ("AWS::Logs::LogGroup", {"RetentionInDays": "31"}, "#/RetentionInDays"),
        ("AWS::SQS::Queue", {"VisibilityTimeout": 43_201}, "#/VisibilityTimeout"),
        ("AWS::Lambda::Function", {"Timeout": "901"}, "#/Timeout"),
        ("AWS::RedshiftServerless::Namespace", {"AdminUserPassword": "short"}, "#/AdminUser"),
        ("AWS::SNS::TopicPolicy", {"Topic": TOPIC}, "additionalProperties"),
        ("AWS::Lambda::Function", {"Code": None}, "#/Code"),
        ("AWS::StepFunctions::StateMachine", {"StateMachineType": "SLOW"}, "[enum]"),
    ],
)
def test_schema_is_held_against_values(kind: str, changes: dict[str, Any], text: str) -> None:
    assert any(text in mismatch for mismatch in registry.mismatches(kind, changed(kind, **changes)))


def test_type_without_a_schema_is_left_alone() -> None:
    assert list(registry.mismatches("Custom::AppliedSql", {"ServiceToken": "arn"})) == []
