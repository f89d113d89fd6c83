"""The deployed warehouse, through the Data API, within a budget."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from tools.verification.budget import Budget, SpentError
from tools.verification.finding import UnansweredError

POLL_SECONDS = 0.25
# A sleeping workgroup takes up to a minute to answer.
WAKE_UP_SECONDS = 90
ENDED = ("FINISHED", "FAILED", "ABORTED")

Fields = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An ended statement: its rows where it gave any (NULL is None), its error where it failed."""

    rows: list[list[Any]]
    error: str
    described: Fields

    @property
    def one_row(self) -> list[Any]:
        """Raises UnansweredError."""
        if self.error or len(self.rows) != 1:
            raise UnansweredError(self.error or f"{len(self.rows)} rows instead of one")
        return self.rows[0]


@dataclass(frozen=True)
class Warehouse:
    """Runs statements as the administrator or the loader (`secrets`: their ARNs by those names).

    `target` names warehouse and database as the Data API wants it.
    """

    client: Any
    target: Mapping[str, str]
    secrets: Mapping[str, str]
    budget: Budget

    def run(self, sql: str, user: str = "administrator", **parameters: str) -> Answer:
        """Raises SpentError, and botocore's errors; an error of the SQL is part of the answer."""
        return self.ended(self.submit(sql, user, **parameters))

    def must_run(self, sql: str, user: str = "administrator") -> None:
        """Run what a probe needs. Raises UnansweredError where it fails, and as `run` does."""
        answer = self.run(sql, user)
        if answer.error:
            raise UnansweredError(f"{' '.join(sql.split())[:60]} …: {answer.error}")

    def submit(self, sql: str, user: str = "administrator", **parameters: str) -> str:
        """The id of a statement that has been submitted. Raises as `run` does."""
        values = [{"name": name, "value": value} for name, value in parameters.items()]
        more = {"Parameters": values} if values else {}
        return self.send("execute_statement", SecretArn=self.secrets[user], Sql=sql, **more)

    def run_batch(self, sqls: Sequence[str], user: str = "administrator") -> Answer:
        """Run statements in one transaction. Raises as `run` does."""
        return self.ended(
            self.send("batch_execute_statement", SecretArn=self.secrets[user], Sqls=list(sqls))
        )

    def send(self, operation: str, **request: Any) -> str:
        """Send a request that submits a statement; give the statement's id. Raises as `run`."""
        self.budget.take_statement()
        answer = getattr(self.client, operation)(**{**self.target, **request})
        return str(answer["Id"])

    def status(self, statement_id: str) -> str:
        return str(self.client.describe_statement(Id=statement_id)["Status"])

    def ended(self, statement_id: str) -> Answer:
        """Wait for a statement. It is cancelled when the budget is spent. Raises as `run` does."""
        while (described := self.client.describe_statement(Id=statement_id))["Status"] not in ENDED:
            try:
                self.budget.check_warehouse()
            except SpentError:
                self.client.cancel_statement(Id=statement_id)
                raise
            time.sleep(POLL_SECONDS)
        if described["Status"] != "FINISHED":
            return Answer([], _error(described), described)
        return Answer(self._rows(statement_id, described), "", described)

    def wake(self) -> str:
        """The warehouse's word on what it is. Raises UnansweredError, and as `run` does."""
        deadline = time.monotonic() + WAKE_UP_SECONDS
        while True:
            try:
                return str(self.run("select version()").one_row[0])
            except (ClientError, UnansweredError) as error:
                if time.monotonic() > deadline or "AccessDenied" in str(error):
                    raise
            time.sleep(10 * POLL_SECONDS)

    def _rows(self, statement_id: str, described: Fields) -> list[list[Any]]:
        if not described["HasResultSet"]:
            return []
        result = self.client.get_statement_result(Id=statement_id)
        return [[_value(field) for field in record] for record in result["Records"]]


def _error(described: Fields) -> str:
    """What a failed statement says; of a batch, its first one that does."""
    parts = [part.get("Error") for part in described.get("SubStatements", [])]
    errors = [error for error in (*parts, described.get("Error")) if error]
    return str(errors[0] if errors else described["Status"])


def _value(field: Mapping[str, Any]) -> Any:
    return None if field.get("isNull") else next(iter(field.values()))
