"""The edge to Redshift: statements through the Data API, waited for, with a deadline."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

FIRST_POLL_SECONDS = 0.03
LAST_POLL_SECONDS = 2.0
POLL_GROWTH = 1.6

# A workgroup that was made a moment ago, or that sleeps, may refuse its first connection. AWS
# does not list the errors it does so with, hence: a read that may be repeated is, unless the
# error is known to stay.
WAKE_UP_DELAYS_SECONDS = (1, 2, 4, 8, 15, 15, 15)
LASTING_ERROR_CODES = frozenset({"AccessDeniedException", "ExpiredTokenException"})
LASTING_ERROR_TEXTS = ("authentication failed", "does not exist", "permission denied")

Row = list[Any]


class StatementFailedError(RuntimeError):
    """A statement ended FAILED or ABORTED; the text is Redshift's.

    `number` is the statement's place in its batch, from 1; None where it was none of them.
    """

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


class DeadlineError(RuntimeError):
    """The function's time is up before the statement has ended; it was cancelled."""


class DataApi:
    """Runs statements one after the other, as the user in `secret_arn`.

    `remaining_seconds` tells how long statements may still be waited for. Every method raises
    StatementFailedError, DeadlineError, or botocore's ClientError or BotoCoreError.
    """

    def __init__(
        self,
        client: Any,
        warehouse: Mapping[str, str],
        database: str,
        secret_arn: str,
        remaining_seconds: Callable[[], float],
    ) -> None:
        self._client = client
        self._target = {
            **warehouse,
            "Database": database,
            "SecretArn": secret_arn,
        }
        self._remaining_seconds = remaining_seconds

    def query(self, sql: str) -> list[Row]:
        """The rows of a select; NULL is None."""
        statement_id = self._execute(sql, {})
        rows: list[Row] = []
        request = {"Id": statement_id}
        while True:
            page = self._client.get_statement_result(**request)
            rows += [[_value(field) for field in record] for record in page["Records"]]
            if not page.get("NextToken"):
                return rows
            request["NextToken"] = page["NextToken"]

    def query_when_awake(self, sql: str) -> list[Row]:
        """`query`, repeated for about a minute while the workgroup refuses to connect."""
        for delay in WAKE_UP_DELAYS_SECONDS:
            try:
                return self.query(sql)
            except (ClientError, StatementFailedError) as error:
                if _is_lasting(error):
                    raise
                time.sleep(delay)
        return self.query(sql)

    def execute(self, sql: str, parameters: Mapping[str, str]) -> None:
        """Run one statement in a transaction of its own. Parameters are never empty texts."""
        self._execute(sql, parameters)

    def execute_batch(self, statements: Sequence[str], name: str) -> None:
        """Run statements in one transaction: all of them, or none. `name` is for the log."""
        self._check_deadline()
        answer = self._client.batch_execute_statement(
            **self._target, Sqls=list(statements), StatementName=name
        )
        self._wait(answer["Id"])

    def _execute(self, sql: str, parameters: Mapping[str, str]) -> str:
        self._check_deadline()
        request: dict[str, Any] = {**self._target, "Sql": sql}
        if parameters:
            request["Parameters"] = [
                {"name": name, "value": value} for name, value in parameters.items()
            ]
        statement_id: str = self._client.execute_statement(**request)["Id"]
        self._wait(statement_id)
        return statement_id

    def _wait(self, statement_id: str) -> None:
        for delay in _poll_delays():
            description = self._client.describe_statement(Id=statement_id)
            if description["Status"] == "FINISHED":
                return
            if description["Status"] in ("FAILED", "ABORTED"):
                raise _failure(description)
            if self._remaining_seconds() < delay:
                self._cancel(statement_id)
                raise DeadlineError("the function's time is up; the statement was cancelled")
            time.sleep(delay)

    def _check_deadline(self) -> None:
        if self._remaining_seconds() <= 0:
            raise DeadlineError("the function's time is up; nothing further was started")

    def _cancel(self, statement_id: str) -> None:
        try:
            self._client.cancel_statement(Id=statement_id)
        except (ClientError, BotoCoreError):
            # It may have ended by now. Either way its record is in its own transaction.
            return


def _poll_delays() -> Iterator[float]:
    delay = FIRST_POLL_SECONDS
    while True:
        yield delay
        delay = min(delay * POLL_GROWTH, LAST_POLL_SECONDS)


def _failure(description: Mapping[str, Any]) -> StatementFailedError:
    for number, statement in enumerate(description.get("SubStatements", []), start=1):
        if statement["Status"] == "FAILED":
            message = statement.get("Error") or description.get("Error") or "no message"
            return StatementFailedError(message, number)
    return StatementFailedError(description.get("Error") or f"it is {description['Status']}")


def _is_lasting(error: ClientError | StatementFailedError) -> bool:
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"] in LASTING_ERROR_CODES
    return any(text in str(error).lower() for text in LASTING_ERROR_TEXTS)


def _value(field: Mapping[str, Any]) -> Any:
    return None if field.get("isNull") else next(iter(field.values()))
