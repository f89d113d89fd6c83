"""The Redshift Data API of the laptop cloud, as a handler for MiniStack.

Statements run in threads, on PostgreSQL, as the database user whose name and password the
statement's secret holds. The caller must be allowed to read that secret. SQL errors are not API
errors: they end the statement FAILED. Here MiniStack has authenticated the caller already, and
checked `redshift-data:<action>` (local/ministack_plugs.py).

Not here, and refused rather than passed over: clusters, temporary credentials, sessions, events,
CSV results, waiting for a result.
"""

import base64
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import botocore.session
import psycopg
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from psycopg.types.string import StrDumperVarchar

from local import spectrum
from local.dialect import DialectError, split, translate
from local.dialect.tokens import render, tokenize

Answer = tuple[int, dict[str, str], bytes]
Fields = dict[str, Any]
Headers = Mapping[str, str]

STATEMENT_BYTES = 100_000
PARAMETER_BYTES = 100_000
RESULT_BYTES = 500_000_000
ACTIVE_STATEMENTS = 500
KEPT_STATEMENTS = 2_000
CLIENT_TOKEN_SECONDS = 8 * 3600
PAGE_ROWS = 1_000
LISTED = 100
CANCEL_SECONDS = 5.0

_UNSUPPORTED = (
    "DbUser",
    "SessionId",
    "SessionKeepAliveSeconds",
    "WaitTimeSeconds",
)

# PostgreSQL's type numbers: Redshift's name, and the member of a result's field.
_TYPES = {
    16: ("bool", "booleanValue"),
    20: ("int8", "longValue"),
    21: ("int2", "longValue"),
    23: ("int4", "longValue"),
    25: ("varchar", "stringValue"),
    700: ("float4", "doubleValue"),
    701: ("float8", "doubleValue"),
    1042: ("bpchar", "stringValue"),
    1043: ("varchar", "stringValue"),
    1082: ("date", "stringValue"),
    1083: ("time", "stringValue"),
    1114: ("timestamp", "stringValue"),
    1184: ("timestamptz", "stringValue"),
    1700: ("numeric", "stringValue"),
}
_NUMERIC = 1700
_SIZED = frozenset({1042, 1043})
_FIELD_VALUES: dict[str, Callable[[str], object]] = {
    "booleanValue": lambda text: text == "t",
    "longValue": int,
    "doubleValue": float,
    "stringValue": str,
}


class Warehouse(spectrum.Warehouse, Protocol):
    """What the Data API needs of a workgroup's warehouse."""

    @property
    def database(self) -> str: ...

    def connect(self, user: str, password: str) -> psycopg.Connection: ...

    def cancel(self, pid: int) -> None: ...


class ApiError(Exception):
    """An exception of the API; `code` is its name in the service's model."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ValidationError(ApiError):
    """A request that cannot be served."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


@dataclass
class Query:
    """One SQL text, its fate and its result; durations in nanoseconds, times in Unix seconds."""

    sql: str
    id: str
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    status: str = "SUBMITTED"
    error: str = ""
    duration: int = 0
    columns: list[Fields] | None = None
    rows: list[list[Fields]] = field(default_factory=list)
    result_rows: int = -1
    result_size: int = -1

    def become(self, status: str, error: str = "") -> None:
        """Move to a status; `error` is Redshift's text."""
        self.status = status
        self.error = error
        self.updated_at = time.time()

    @property
    def is_active(self) -> bool:
        """Whether it has yet to end."""
        return self.status in ("SUBMITTED", "PICKED", "STARTED")

    def described(self) -> Fields:
        """Return what DescribeStatement says of a statement and of a batch's parts alike."""
        described: Fields = {
            "Id": self.id,
            "Status": self.status,
            "CreatedAt": self.created_at,
            "UpdatedAt": self.updated_at,
            "Duration": self.duration,
            "HasResultSet": self.columns is not None,
            "QueryString": self.sql,
            "RedshiftQueryId": 0 if self.is_active else uuid.UUID(self.id[:36]).int >> 97,
            "ResultRows": self.result_rows,
            "ResultSize": self.result_size,
        }
        return {**described, "Error": self.error} if self.error else described


@dataclass
class Statement(Query):
    """What one call submitted: a single query, or with `parts` a batch in one transaction."""

    request: Fields = field(default_factory=dict)
    parts: list[Query] = field(default_factory=list)
    caller: str = ""
    pid: int = 0
    is_cancelled: bool = False

    def described(self) -> Fields:
        """Return the answer of DescribeStatement."""
        described = {
            **super().described(),
            "Database": self.request["Database"],
            **_target(self.request),
            "SecretArn": self.request["SecretArn"],
            "RedshiftPid": self.pid,
            "ResultFormat": "JSON",
        }
        if self.request.get("Parameters"):
            described["QueryParameters"] = self.request["Parameters"]
        if self.parts:
            del described["QueryString"]
            described["SubStatements"] = [part.described() for part in self.parts]
        return described

    def listed(self) -> Fields:
        """Return the statement's entry in the answer of ListStatements."""
        parameters = self.request.get("Parameters")
        return {
            **({"QueryParameters": parameters} if parameters else {}),
            "Id": self.id,
            "Status": self.status,
            "CreatedAt": self.created_at,
            "UpdatedAt": self.updated_at,
            "QueryString": self.sql,
            "IsBatchStatement": bool(self.parts),
            "SecretArn": self.request["SecretArn"],
            "StatementName": self.request.get("StatementName", ""),
        }


def read_secret(arn: str, headers: Headers) -> Fields:
    """Return what a MiniStack secret holds that the request's caller may read.

    Raises ApiError.
    """
    from ministack import app
    from ministack.core import iam_evaluator
    from ministack.core.responses import get_region
    from ministack.core.router import extract_access_key_id
    from ministack.services import secretsmanager

    access_key = extract_access_key_id(headers)
    action = "secretsmanager:GetSecretValue"
    if app.AUTH:
        denied = iam_evaluator.enforce(access_key, action, "secretsmanager", get_region(), arn)
        if denied:
            principal = getattr(denied, "principal_arn", access_key)
            raise ApiError(
                "AccessDeniedException",
                f"User: {principal} is not authorized to perform: {action} on resource: {arn}",
            )
    try:
        secret = json.loads(secretsmanager.resolve_secret_string(arn) or "{}")
        return {**secret, "username": secret["username"], "password": secret["password"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValidationError(f"{arn} holds no JSON with username and password.") from error


def read_caller(headers: Headers) -> str:
    """Return the ARN of the request's caller; that of an assumed role ends with its session."""
    from ministack.core import iam_evaluator
    from ministack.core.router import extract_access_key_id

    identity = iam_evaluator.resolve_caller_identity(extract_access_key_id(headers)) or {}
    return str(identity.get("userArn", ""))


class DataApi:
    """The service. `warehouses` may change at any time; `handle` is for MiniStack.

    They are found by what a request may call them: the name or the ARN of a workgroup, the
    identifier of a cluster.

    `secret` returns what a secret holds, a user and a password at least, given its ARN and the
    request's headers, or raises ApiError; `caller` returns the ARN of who sent the request.
    """

    def __init__(
        self,
        warehouses: Mapping[str, Warehouse],
        secret: Callable[[str, Headers], Fields] = read_secret,
        caller: Callable[[Headers], str] = read_caller,
    ) -> None:
        self._warehouses = warehouses
        self._read_secret = secret
        self._read_caller = caller
        self._statements: dict[str, Statement] = {}
        self._tokens: dict[str, Statement] = {}
        self._lock = threading.Lock()
        self._operations: dict[str, Callable[[Fields, Headers], Fields]] = {
            "ExecuteStatement": self._execute,
            "BatchExecuteStatement": self._execute,
            "DescribeStatement": self._describe,
            "GetStatementResult": self._result,
            "CancelStatement": self._cancel,
            "ListStatements": self._list,
        }

    async def handle(
        self,
        _method: str,
        _path: str,
        headers: Headers,
        body: bytes,
        _query: Mapping[str, Any],
    ) -> Answer:
        """Serve one request. Never waits for a statement: MiniStack's loop must go on."""
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        try:
            if operation not in self._operations:
                raise ApiError("UnknownOperationException", f"not on the laptop: {operation}")
            request = _validated(operation, body)
            answer = self._operations[operation](request, headers)
        except ApiError as error:
            return _json_answer(400, {"__type": error.code, "message": str(error)})
        return _json_answer(200, answer)

    def _execute(self, request: Fields, headers: Headers) -> Fields:
        warehouse = self._warehouse(request)
        _check_statement(request)
        secret = self._read_secret(request["SecretArn"], headers)
        _check_cluster(request, secret)
        credentials = str(secret["username"]), str(secret["password"])
        token = request.get("ClientToken", "")
        with self._lock:
            statement = self._repeated(token)
            if statement is None:
                statement = self._submitted(request, self._read_caller(headers))
                if token:
                    self._tokens[token] = statement
                run = _Run(statement, warehouse, credentials)
                threading.Thread(target=run, name="redshift-data", daemon=True).start()
        return {
            "Id": statement.id,
            "CreatedAt": statement.created_at,
            "Database": request["Database"],
            "SecretArn": request["SecretArn"],
            **_target(request),
        }

    def _describe(self, request: Fields, _headers: Headers) -> Fields:
        query = self._query(request["Id"])
        return query.described()

    def _result(self, request: Fields, _headers: Headers) -> Fields:
        query = self._query(request["Id"])
        if query.status != "FINISHED" or query.columns is None:
            raise ApiError(
                "ResourceNotFoundException",
                "Query does not have result. Please check query status with DescribeStatement.",
            )
        start = _page_start(request.get("NextToken"))
        answer: Fields = {
            "ColumnMetadata": query.columns,
            "Records": query.rows[start : start + PAGE_ROWS],
            "TotalNumRows": len(query.rows),
        }
        if start + PAGE_ROWS < len(query.rows):
            answer["NextToken"] = _page_token(start + PAGE_ROWS)
        return answer

    def _cancel(self, request: Fields, _headers: Headers) -> Fields:
        statement = self._query(request["Id"])
        if not isinstance(statement, Statement) or not statement.is_active:
            raise ValidationError(
                "Could not cancel a query that is already in "
                f"{statement.status} state with ID: {statement.id}"
            )
        warehouse = self._warehouse(statement.request)
        statement.is_cancelled = True
        threading.Thread(target=_cancel, args=(statement, warehouse), daemon=True).start()
        return {"Status": True}

    def _list(self, request: Fields, headers: Headers) -> Fields:
        """Newest first: what the caller's role has submitted, or with RoleLevel off its session."""
        caller = self._read_caller(headers)
        identity: Callable[[str], str] = _role if request.get("RoleLevel", True) else str
        status = request.get("Status", "FINISHED")
        name = request.get("StatementName", "")
        with self._lock:
            statements = [
                statement
                for statement in reversed(self._statements.values())
                if identity(statement.caller) == identity(caller)
                and status in ("ALL", statement.status)
                and statement.request.get("StatementName", "").startswith(name)
            ]
        start, page = _page_start(request.get("NextToken")), request.get("MaxResults") or LISTED
        answer: Fields = {"Statements": [one.listed() for one in statements[start : start + page]]}
        if start + page < len(statements):
            answer["NextToken"] = _page_token(start + page)
        return answer

    def _warehouse(self, request: Fields) -> Warehouse:
        [reference] = _target(request).values()
        warehouse = self._warehouses.get(reference)
        if warehouse is None:
            raise ValidationError("Redshift endpoint doesn't exist in this region.")
        return warehouse

    def _repeated(self, token: str) -> Statement | None:
        statement = self._tokens.get(token)
        if statement and time.time() - statement.created_at < CLIENT_TOKEN_SECONDS:
            return statement
        return None

    def _submitted(self, request: Fields, caller: str) -> Statement:
        active = sum(statement.is_active for statement in self._statements.values())
        if active >= ACTIVE_STATEMENTS:
            raise ApiError(
                "ActiveStatementsExceededException",
                f"The number of active statements exceeds the limit of {ACTIVE_STATEMENTS}.",
            )
        statement_id = str(uuid.uuid4())
        parts = [
            Query(sql, f"{statement_id}:{number}")
            for number, sql in enumerate(request.get("Sqls", ()), start=1)
        ]
        statement = Statement(
            request.get("Sql", ""), statement_id, request=request, parts=parts, caller=caller
        )
        self._statements[statement_id] = statement
        self._forget_oldest()
        return statement

    def _forget_oldest(self) -> None:
        finished = [one for one in self._statements.values() if not one.is_active]
        for statement in finished[: max(0, len(self._statements) - KEPT_STATEMENTS)]:
            del self._statements[statement.id]
            self._tokens.pop(statement.request.get("ClientToken", ""), None)

    def _query(self, query_id: str) -> Query:
        statement_id, _, number = query_id.partition(":")
        with self._lock:
            statement = self._statements.get(statement_id)
        if statement is None or (number and not 0 < int(number) <= len(statement.parts)):
            raise ApiError("ResourceNotFoundException", "Query does not exist.")
        return statement.parts[int(number) - 1] if number else statement


@cache
def _model() -> ServiceModel:
    return botocore.session.get_session().get_service_model("redshift-data")


def _validated(operation: str, body: bytes) -> Fields:
    """Return the request's members, checked against the service's model."""
    shape: Any = _model().operation_model(operation).input_shape
    request: Fields = json.loads(body or b"{}")
    problems = ParamValidator().validate(request, shape)
    if problems.has_errors():
        raise ValidationError(problems.generate_report())
    _check_patterns(request, shape)
    unsupported = [name for name in _UNSUPPORTED if name in request]
    if unsupported:
        raise ValidationError(f"The laptop cloud does not support {', '.join(unsupported)}.")
    return request


def _check_patterns(request: Fields, shape: Any) -> None:
    for name, value in request.items():
        rules = shape.members[name].metadata
        if not isinstance(value, str):
            continue
        if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
            raise ValidationError(
                f"{name} must satisfy regular expression pattern: {rules['pattern']}"
            )
        if len(value) > rules.get("max", len(value)):
            raise ValidationError(f"{name} must have length less than or equal to {rules['max']}")
        if "enum" in rules and value not in rules["enum"]:
            raise ValidationError(f"{name} must satisfy enum value set: {rules['enum']}")


def _target(request: Fields) -> Fields:
    """What names the warehouse in a request."""
    named = {
        name: request[name] for name in ("WorkgroupName", "ClusterIdentifier") if request.get(name)
    }
    if len(named) != 1:
        raise ValidationError("Give either WorkgroupName or ClusterIdentifier.")
    return named


def _check_cluster(request: Fields, secret: Fields) -> None:
    """Source: Amazon Redshift Data API, ExecuteStatement: the secret's identifier has to match."""
    given, held = request.get("ClusterIdentifier"), secret.get("dbClusterIdentifier")
    if given and held and given != held:
        raise ValidationError(f"The secret is for the cluster {held}, not for {given}.")


def _check_statement(request: Fields) -> None:
    for name in ("Database", "SecretArn"):
        if not request.get(name):
            raise ValidationError(f"{name} is required.")
    if request.get("WithEvent") or request.get("ResultFormat", "JSON") != "JSON":
        raise ValidationError("The laptop cloud supports neither events nor CSV results.")
    if request.get("ExecutionMode", "TRANSACTION") != "TRANSACTION":
        raise ValidationError("The laptop cloud runs a batch as one transaction only.")
    sqls = request.get("Sqls") or [request.get("Sql", "")]
    if len(sqls) > 40:
        raise ValidationError("Sqls must have at most 40 statements.")
    for sql in sqls:
        if not sql.strip() or len(sql.encode()) > STATEMENT_BYTES:
            raise ValidationError(f"A statement must have 1 to {STATEMENT_BYTES} bytes.")
    _check_parameters(request.get("Parameters", []), sqls)


def _check_parameters(parameters: list[dict[str, str]], sqls: list[str]) -> None:
    given = [parameter["name"] for parameter in parameters]
    if len(set(given)) != len(given):
        raise ValidationError("Parameters list contains duplicate names.")
    for parameter in parameters:
        if not parameter["value"]:
            raise ValidationError(f"Parameter {parameter['name']} must not be empty.")
    if sum(len(parameter["value"].encode()) for parameter in parameters) > PARAMETER_BYTES:
        raise ValidationError(f"Parameters must not exceed {PARAMETER_BYTES} bytes.")
    used = {name for sql in sqls for name in _parameter_names(sql)}
    if missing := sorted(used - set(given)):
        raise ValidationError(f"Cannot find parameter: {missing[0]}")
    if unused := sorted(set(given) - used):
        raise ValidationError(
            f"Parameters list contains unused parameters. Unused parameters: {unused}"
        )


def _parameter_names(sql: str) -> list[str]:
    """Return the names after colons, outside quotes and comments, in order."""
    try:
        tokens = tokenize(sql)
    except DialectError:
        return []  # the statement fails with the reason
    return [
        token.text[1:]
        for token in tokens
        if token.kind == "parameter" and token.text.startswith(":")
    ]


def numbered(sql: str, parameters: Mapping[str, str]) -> tuple[str, list[str]]:
    """Replace `:name` by `$1`, `$2`, and return with it the values in that order."""
    order = list(dict.fromkeys(_parameter_names(sql)))
    if not order:
        return sql, []
    replaced = [
        type(token)("parameter", f"${order.index(token.text[1:]) + 1}", token.before)
        if token.kind == "parameter" and token.text.startswith(":")
        else token
        for token in tokenize(sql)
    ]
    return render(replaced), [parameters[name] for name in order]


def _page_start(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token))
    except ValueError as error:
        raise ValidationError("NextToken is not valid.") from error


def _page_token(start: int) -> str:
    return base64.b64encode(str(start).encode()).decode()


def _role(caller: str) -> str:
    """Return a caller's ARN without the session."""
    return caller.rpartition("/")[0] if ":assumed-role/" in caller else caller


def _json_answer(status: int, answer: Fields) -> Answer:
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    return status, headers, json.dumps(answer).encode()


def _cancel(statement: Statement, warehouse: Warehouse) -> None:
    """Cancel until it has worked: the backend may still be on its way to the query."""
    deadline = time.monotonic() + CANCEL_SECONDS
    while statement.is_active and time.monotonic() < deadline:
        if statement.pid:
            with suppress(psycopg.OperationalError):  # it is down: the statement ends by itself
                warehouse.cancel(statement.pid)
        time.sleep(0.05)


class _Run:
    """Runs a statement to its end, whatever happens."""

    def __init__(
        self, statement: Statement, warehouse: Warehouse, credentials: tuple[str, str]
    ) -> None:
        self._statement = statement
        self._warehouse = warehouse
        self._credentials = credentials
        self._lake_failures: dict[str, str] = {}

    def __call__(self) -> None:
        statement = self._statement
        statement.become("PICKED")
        started = time.perf_counter_ns()
        try:
            self._run()
        except psycopg.Error as error:
            self._fail(error_text(error, self._lake_failures))
        except DialectError as error:
            self._fail(f"ERROR: {error}")
        except Exception as error:
            # A statement that nobody ends would be polled for ever.
            self._fail(f"ERROR: {error}")
            raise
        finally:
            statement.duration = time.perf_counter_ns() - started
        if statement.is_active:
            statement.become("FINISHED")

    def _run(self) -> None:
        statement = self._statement
        if statement.request["Database"] != self._warehouse.database:
            name = statement.request["Database"]
            raise DialectError(f'database "{name}" does not exist')
        self._lake_failures = spectrum.refresh(self._warehouse)
        with self._warehouse.connect(*self._credentials) as connection:
            connection.adapters.register_dumper(str, StrDumperVarchar)
            connection.prepare_threshold = None
            statement.pid = connection.info.backend_pid
            statement.become("STARTED")
            if statement.parts:
                self._run_batch(connection)
            else:
                # A procedure may end its transaction only where no one else began it.
                connection.autocommit = True
                self._run_query(connection, statement)

    def _run_batch(self, connection: psycopg.Connection) -> None:
        for part in self._statement.parts:
            part.become("STARTED")
            started = time.perf_counter_ns()
            try:
                self._run_query(connection, part)
            finally:
                part.duration = time.perf_counter_ns() - started
            part.become("FINISHED")
        connection.commit()

    def _run_query(self, connection: psycopg.Connection, query: Query) -> None:
        if self._statement.is_cancelled:
            raise psycopg.errors.QueryCanceled
        if len(split(query.sql)) > 1:
            raise DialectError("Multi-statements are not supported")
        parameters = {
            parameter["name"]: parameter["value"]
            for parameter in self._statement.request.get("Parameters", [])
        }
        sql, values = numbered(query.sql, parameters)
        with psycopg.RawCursor(connection) as cursor:
            cursor.execute(translate(sql).encode(), values or None)
            query.result_rows = cursor.rowcount
            if cursor.pgresult is not None and cursor.description is not None:
                query.columns = [_column(column) for column in cursor.description]
                query.rows = list(_rows(cursor.pgresult))
                query.result_size = _size(cursor.pgresult)

    def _fail(self, error: str) -> None:
        statement = self._statement
        status = "ABORTED" if statement.is_cancelled else "FAILED"
        for part in statement.parts:
            if part.status == "STARTED":
                part.become(status, error)
            elif part.status == "SUBMITTED":
                part.become("ABORTED")
        statement.become(status, "" if statement.is_cancelled else error)
        statement.rows, statement.columns = [], None


def error_text(error: psycopg.Error, lake_failures: Mapping[str, str]) -> str:
    """Word an error as the Data API does: `ERROR: message`, then its details."""
    diagnostics = error.diag
    if diagnostics.message_primary is None:
        return _connection_text(str(error).strip())
    text = f"{diagnostics.severity}: {diagnostics.message_primary}"
    for name, more in (("Detail", diagnostics.message_detail), ("Hint", diagnostics.message_hint)):
        if more:
            text += f"\n  {name}: {more}"
    if isinstance(error, psycopg.errors.UndefinedTable) and lake_failures:
        # A table is unknown because nobody could ask the Data Catalog for it.
        text += "".join(f"\n  {schema}: {why}" for schema, why in lake_failures.items())
    return text


def _connection_text(reason: str) -> str:
    """Word why a session could not begin, or broke, without the laptop's own addresses."""
    _, fatal, refusal = reason.rpartition("FATAL:  ")
    if fatal:
        return f"FATAL: {refusal}"
    reason = reason.partition("\n")[0]
    _, failed, refusal = reason.partition(" failed: ")
    if "connection to server" in reason and failed:
        return f"Connection to the warehouse failed: {refusal}"
    return f"Connection to the warehouse was lost: {reason}"


def _column(column: psycopg.Column) -> Fields:
    type_name, member = _TYPES.get(column.type_code, ("varchar", "stringValue"))
    return {
        "name": column.name,
        "label": column.name,
        "typeName": type_name,
        "nullable": 1,
        "precision": column.precision or 0,
        "scale": column.scale or 0,
        "length": column.internal_size or 0,
        "isCaseSensitive": type_name in ("varchar", "bpchar"),
        "isCurrency": False,
        "isSigned": member in ("longValue", "doubleValue") or column.type_code == _NUMERIC,
        "schemaName": "",
        "tableName": "",
    }


def _rows(result: Any) -> Iterator[list[Fields]]:
    members = [
        _TYPES.get(result.ftype(number), ("", "stringValue"))[1] for number in range(result.nfields)
    ]
    for row in range(result.ntuples):
        yield [
            _field(result.get_value(row, number), member) for number, member in enumerate(members)
        ]


def _field(value: bytes | None, member: str) -> Fields:
    if value is None:
        return {"isNull": True}
    text = value.decode()
    if member == "doubleValue" and text in ("NaN", "Infinity", "-Infinity"):
        return {"stringValue": text}  # JSON has no such numbers
    return {member: _FIELD_VALUES[member](text)}


def _size(result: Any) -> int:
    return sum(
        len(result.get_value(row, number) or b"")
        for row in range(result.ntuples)
        for number in range(result.nfields)
    )
