"""Injected errors have the names and texts of the services' own."""

import pytest

from local.sdk_tasks import TaskAnswer, TaskCall, TaskError
from tests.faults.inject import Fault, Kind, failure

ROLE = "arn:aws:iam::000000000000:role/loads"


def call(service: str, action: str) -> TaskCall:
    objects = [{"Key": "a", "VersionId": "1"}, {"Key": "b", "ETag": "2"}]
    parameters = {"Delete": {"Objects": objects}}
    return TaskCall(service, action, parameters, ROLE, "execution", "State")


@pytest.mark.parametrize(
    ("service", "action", "kind", "error", "cause"),
    [
        ("glue", "getTable", Kind.THROTTLED, "Glue.ThrottlingException", "Rate exceeded"),
        ("redshiftdata", "a", Kind.THROTTLED, "RedshiftData.RedshiftDataException", "Rate"),
        ("sns", "publish", Kind.THROTTLED, "Sns.ThrottledException", "Rate exceeded"),
        ("sqs", "sendMessage", Kind.THROTTLED, "Sqs.RequestThrottledException", "Request is"),
        ("s3", "copyObject", Kind.THROTTLED, "S3.S3Exception", "Please reduce your request rate."),
        ("s3", "deleteObjects", Kind.THROTTLED, "S3.S3Exception", "Please reduce your request"),
        ("sfn", "describeExecution", Kind.THROTTLED, "Sfn.SfnException", "Rate exceeded"),
        ("glue", "getTable", Kind.FAILING, "Glue.InternalServiceException", "An internal"),
        ("redshiftdata", "a", Kind.FAILING, "RedshiftData.InternalServerException", "The request"),
        ("s3", "putObject", Kind.FAILING, "S3.S3Exception", "We encountered an internal error."),
        ("sns", "publish", Kind.FAILING, "Sns.InternalErrorException", "An internal error"),
        ("sqs", "sendMessage", Kind.FAILING, "Sqs.SqsException", "We encountered"),
        ("glue", "getTable", Kind.DENIED, "Glue.AccessDeniedException", f"User: {ROLE} is not"),
        ("sns", "publish", Kind.DENIED, "Sns.AuthorizationErrorException", f"User: {ROLE} is not"),
        ("sqs", "sendMessage", Kind.DENIED, "Sqs.SqsException", f"User: {ROLE} is not"),
    ],
)
def test_error(service: str, action: str, kind: Kind, error: str, cause: str) -> None:
    raised = failure(kind, call(service, action))

    assert isinstance(raised, TaskError)
    assert raised.error == error
    assert raised.cause.startswith(cause)
    assert "(Service: " in raised.cause


def test_denied_call_names_its_iam_action() -> None:
    raised = failure(Kind.DENIED, call("redshiftdata", "listStatements"))

    assert "is not authorized to perform: redshift-data:ListStatements" in str(raised)


@pytest.mark.parametrize(
    ("kind", "code"), [(Kind.DENIED, "AccessDenied"), (Kind.FAILING, "InternalError")]
)
def test_objects_that_are_not_deleted_stand_in_the_answer(kind: Kind, code: str) -> None:
    answered = failure(kind, call("s3", "deleteObjects"))

    assert isinstance(answered, TaskAnswer)
    assert [(error["Key"], error["Code"]) for error in answered.result["Errors"]] == [
        ("a", code),
        ("b", code),
    ]


@pytest.mark.parametrize(
    ("kind", "turns"),
    [
        (Kind.THROTTLED, [True, True, False, False]),
        (Kind.ANSWER_LOST, [True, False, False, False]),
        (Kind.ABORTED, [True, False, False, False]),
        (Kind.FAILING, [True] * 4),
        (Kind.DENIED, [True] * 4),
    ],
)
def test_fault_strikes_as_often_as_its_kind_says(kind: Kind, turns: list[bool]) -> None:
    fault = Fault("load", "State", kind, runs="run")

    assert [fault.takes_turn() for _ in turns] == turns
