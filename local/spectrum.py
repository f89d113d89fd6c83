"""Redshift Spectrum for the laptop's warehouse: external tables over the Data Catalog and S3.

An external table is a PostgreSQL foreign table (file_fdw) whose program is curl on the `ScanServer`
here. It reads Glue and S3 with credentials of the external schema's own role, so a permission that
the role lacks fails the statement. `local/spectrum.sql` makes and refreshes the foreign tables.

    GET /catalog?database=&role=                           tables and partitions, a line of JSON
    GET /scan?database=&role=&table=&width=[&partition=]   rows in PostgreSQL's text format
    GET /refusal?database=&role=&table=&width=                always an error: see spectrum.sql

A scan that fails says so twice, so that it never passes for a short file: a last row with the error
in place of its path, which PostgreSQL raises, and a chunked answer that breaks off.
"""

import contextlib
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import boto3
import psycopg
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody

from local.columnar import ORC, PARQUET, Columnar
from local.lazy_simple import LAZY_SIMPLE, LazySimple
from local.serde import (
    BLOCK_BYTES,
    NULL,
    OPEN_CSV,
    FormatError,
    Handling,
    OpenCsv,
    copy_value,
    decompressed,
    line_blocks,
)

SPECTRUM_SQL = Path(__file__).with_name("spectrum.sql")

CREDENTIAL_SECONDS = 3600
CREDENTIAL_MARGIN_SECONDS = 600
REMEMBERED_SCANS = 1000

_FETCH_ERROR = "S3 Query Exception (Fetch)"
_FETCH_CODE = 15001
_SCAN_ERROR = "Spectrum Scan Error"
_SCAN_CODE = 15007
_LIST_CODE = 8001

# Hive's types, as the Data Catalog spells them, in PostgreSQL.
_PLAIN_TYPES = {
    "string": "text",
    "boolean": "boolean",
    "tinyint": "smallint",
    "smallint": "smallint",
    "int": "integer",
    "integer": "integer",
    "bigint": "bigint",
    "float": "real",
    "double": "double precision",
    "date": "date",
    "timestamp": "timestamp",
}
_TEXT: dict[str, type[OpenCsv] | type[LazySimple]] = {OPEN_CSV: OpenCsv, LAZY_SIMPLE: LazySimple}
_SIZED_TYPE = re.compile(r"(?:varchar|char)\(\d+\)|decimal\(\d+(?:,\s*\d+)?\)")


class ScanError(Exception):
    """A failed scan, worded as Redshift words it; `code` is Redshift's number, where known."""

    def __init__(self, error: str, context: str = "", code: int = 0) -> None:
        super().__init__(f"{error}. {context}" if context else error)
        self.detail = f"code: {code}" if code else ""


class Warehouse(Protocol):
    """What Spectrum needs of a warehouse."""

    def owner_connect(self) -> psycopg.Connection: ...


def install(warehouse: Warehouse) -> None:
    """Make a started warehouse able to hold external tables. May be repeated."""
    with warehouse.owner_connect() as connection:
        connection.execute(SPECTRUM_SQL.read_bytes())


def refresh(warehouse: Warehouse) -> dict[str, str]:
    """Bring the external tables up to the Data Catalog; to be called before each statement.

    Returns, by external schema, why its catalog could not be read. Its tables then fail when they
    are queried; statements that leave them alone work.
    """
    with warehouse.owner_connect() as connection:
        rows = connection.execute("select * from redshift.refresh_external_schemas()").fetchall()
    return {schema: failure for schema, failure in rows if failure}


@dataclass(frozen=True)
class Scan:
    """One request to the scan server.

    `width` is the number of columns before "$path"; `partition` the partition column's value.
    """

    path: str
    database: str
    role: str
    table: str = ""
    width: int = 0
    partition: str | None = None

    @classmethod
    def from_target(cls, target: str) -> "Scan":
        """Read a request's path and query. Raises TypeError for unknown or missing arguments."""
        parts = urlsplit(target)
        arguments: dict[str, Any] = dict(
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
        )
        arguments["width"] = int(arguments.get("width", 0))
        return cls(parts.path, **arguments)


@dataclass(frozen=True)
class DataFile:
    """An object of S3 that a scan reads."""

    bucket: str
    key: str
    size: int
    etag: str

    @property
    def url(self) -> str:
        """The value of "$path"."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_hidden(self) -> bool:
        """Whether Spectrum passes over it, without a word."""
        name = self.key.rpartition("/")[2]
        return not name or name[0] in "._#" or name[-1] == "~"


class Lake:
    """The Data Catalog and S3 as one role sees them, given boto3 clients that act as it.

    The role needs glue:GetTables, glue:GetTable and glue:GetPartitions, s3:ListBucket and
    s3:GetObject. Methods raise ScanError.
    """

    def __init__(self, glue: Any, s3: Any) -> None:
        self._glue = glue
        self._s3 = s3

    def catalog(self, database: str) -> dict[str, Any]:
        """Return `{"tables": [...]}`, what spectrum.sql makes foreign tables from."""
        try:
            pages = self._glue.get_paginator("get_tables").paginate(DatabaseName=database)
            tables = [table for page in pages for table in page["TableList"]]
            return {"tables": [self._described(database, table) for table in tables]}
        except (ClientError, BotoCoreError) as error:
            raise _catalog_error(error) from error

    def table(self, database: str, name: str) -> dict[str, Any]:
        """Return Glue's description of a table."""
        try:
            found: dict[str, Any] = self._glue.get_table(DatabaseName=database, Name=name)["Table"]
        except (ClientError, BotoCoreError) as error:
            raise _catalog_error(error) from error
        return found

    def partitions(self, database: str, table: str) -> list[dict[str, Any]]:
        """Return Glue's descriptions of a table's partitions."""
        try:
            return self._partitions(database, table)
        except (ClientError, BotoCoreError) as error:
            raise _catalog_error(error) from error

    def files(self, location: str) -> list[DataFile]:
        """List what a scan of a location reads: everything under it that is not hidden."""
        bucket, _, folder = location.removeprefix("s3://").partition("/")
        prefix = folder.rstrip("/") + "/" if folder.strip("/") else ""
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            files = [
                DataFile(bucket, found["Key"], found["Size"], found["ETag"])
                for page in pages
                for found in page.get("Contents", [])
            ]
        except (ClientError, BotoCoreError) as error:
            raise _list_error(error, location) from error
        return [file for file in files if file.size and not file.is_hidden]

    def read(self, file: DataFile) -> Iterator[bytes]:
        """Stream a file's bytes; fails when it is no longer the version that was listed."""
        found = self._s3.get_object(Bucket=file.bucket, Key=file.key, IfMatch=file.etag)
        body: StreamingBody = found["Body"]
        with body:
            yield from iter(lambda: body.read(BLOCK_BYTES), b"")

    def _partitions(self, database: str, table: str) -> list[dict[str, Any]]:
        pages = self._glue.get_paginator("get_partitions").paginate(
            DatabaseName=database, TableName=table
        )
        return [partition for page in pages for partition in page["Partitions"]]

    def _described(self, database: str, table: Mapping[str, Any]) -> dict[str, Any]:
        storage = table.get("StorageDescriptor", {})
        keys = table.get("PartitionKeys") or []
        columns = storage.get("Columns", [])
        # PostgreSQL prunes by one list column. With more keys the scan reads every partition.
        column = keys[0]["Name"] if len(keys) == 1 else None
        found = self._partitions(database, table["Name"]) if column else []
        return {
            "name": table["Name"],
            "location": storage.get("Location", ""),
            "columns": [
                *([each["Name"], postgres_type(each["Type"])] for each in columns),
                *([key["Name"], key_type(key["Type"])] for key in keys),
            ],
            "partition_column": column,
            "partitions": [
                {"value": one["Values"][0], "location": one["StorageDescriptor"]["Location"]}
                for one in found
            ],
        }


def lake_of(role: str, endpoint_url: str) -> Lake:
    """Return what a role sees, for as long as its credentials last (CREDENTIAL_SECONDS).

    Raises ScanError when Redshift may not assume the role.
    """
    try:
        credentials = _assume(role, endpoint_url)
    except (ClientError, BotoCoreError) as error:
        raise _role_error(role, str(error)) from error
    session = boto3.session.Session(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
    )
    config = Config(
        s3={"addressing_style": "path"},
        max_pool_connections=64,
        retries={"total_max_attempts": 2},
    )
    glue, s3 = (
        session.client(service, endpoint_url=endpoint_url, config=config)
        for service in ("glue", "s3")
    )
    return Lake(glue, s3)


def _assume(role: str, endpoint_url: str) -> Mapping[str, str]:
    service = boto3.session.Session()
    iam = service.client("iam", endpoint_url=endpoint_url)
    trust = iam.get_role(RoleName=role.rpartition("/")[2])["Role"]["AssumeRolePolicyDocument"]
    # MiniStack lets its own caller assume a role that trusts any service.
    if not trusts_redshift(trust):
        raise _role_error(role, "its trust policy does not name redshift.amazonaws.com")
    sts = service.client("sts", endpoint_url=endpoint_url)
    credentials: Mapping[str, str] = sts.assume_role(
        RoleArn=role, RoleSessionName="RedshiftSpectrum", DurationSeconds=CREDENTIAL_SECONDS
    )["Credentials"]
    return credentials


def postgres_type(hive_type: str) -> str:
    """Return the PostgreSQL type of a column; a nested type becomes text, and no scan reads it."""
    wanted = hive_type.strip().lower()
    if wanted in _PLAIN_TYPES:
        return _PLAIN_TYPES[wanted]
    return wanted if _SIZED_TYPE.fullmatch(wanted) else "text"


def key_type(hive_type: str) -> str:
    """Return the PostgreSQL type of a partition key.

    A text that is compared as Redshift compares, whatever stands behind it: PostgreSQL's own
    operator for that type prunes partitions, where those of redshift_comparison do not.
    """
    found = postgres_type(hive_type)
    return "bpchar" if found == "text" else found


def trusts_redshift(document: Mapping[str, Any]) -> bool:
    """Tell whether a role's trust policy names Redshift."""
    statements = document.get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        named = {services} if isinstance(services, str) else set(services)
        if statement.get("Effect") == "Allow" and "redshift.amazonaws.com" in named:
            return True
    return False


def table_rows(lake: Lake, scan: Scan) -> Iterator[bytes]:
    """Stream the rows of a table, or of one of its partitions, in PostgreSQL's text format.

    The columns: the table's, its partition keys', "$path", "$size" (bytes).
    """
    table = lake.table(scan.database, scan.table)
    width = len(table["StorageDescriptor"]["Columns"]) + len(table.get("PartitionKeys") or [])
    if width != scan.width:
        raise ScanError(f"The columns of {scan.table} in the Data Catalog have changed")
    if not table.get("PartitionKeys"):
        yield from _storage_rows(lake, table, table, ())
        return
    for partition in lake.partitions(scan.database, scan.table):
        if scan.partition is None or partition["Values"] == [scan.partition]:
            yield from _storage_rows(lake, table, partition, partition["Values"])


def _storage_rows(
    lake: Lake, table: Mapping[str, Any], stored: Mapping[str, Any], values: Iterable[str]
) -> Iterator[bytes]:
    location = stored["StorageDescriptor"]["Location"]
    try:
        reader = _reader(table, stored)
    except FormatError as error:
        raise _scan_error(location, error) from error
    for file in lake.files(location):
        more = (*values, file.url, str(file.size))
        try:
            yield from reader.rows(lake.read(file), file.key, more)
        except FormatError as error:
            raise _scan_error(file.url, error) from error
        except (ClientError, BotoCoreError) as error:
            raise _fetch_error(file.url, error) from error


class Reader(Protocol):
    """What turns a file into rows of a table. Raises FormatError."""

    def rows(self, chunks: Iterable[bytes], key: str, more: Sequence[str]) -> Iterator[bytes]: ...


@dataclass(frozen=True)
class TextReader:
    """Lines of text, and the SerDe that splits them."""

    serde: OpenCsv | LazySimple
    skipped_lines: int

    def rows(self, chunks: Iterable[bytes], key: str, more: Sequence[str]) -> Iterator[bytes]:
        """As Reader has it."""
        serde = self.serde.of(key)
        for block in line_blocks(decompressed(chunks, key), self.skipped_lines):
            yield serde.copy_rows(block, more)


def _reader(table: Mapping[str, Any], stored: Mapping[str, Any]) -> Reader:
    serde = stored["StorageDescriptor"].get("SerdeInfo", {})
    library = serde.get("SerializationLibrary", "")
    columns = table["StorageDescriptor"]["Columns"]
    handling = Handling.from_properties(table.get("Parameters") or {})
    if library in (PARQUET, ORC):
        return Columnar.from_columns(library, columns, handling)
    if library not in _TEXT:
        known = ", ".join([*_TEXT, PARQUET, ORC])
        raise FormatError(f"the laptop cloud reads {known}, not {library or 'no SerDe'}")
    typed = [column["Name"] for column in columns if column["Type"].lower() != "string"]
    if typed:
        raise FormatError(f"text is read as strings; other types in: {', '.join(typed)}")
    text = _TEXT[library].from_parameters(len(columns), serde.get("Parameters") or {}, handling)
    return TextReader(text, int(table.get("Parameters", {}).get("skip.header.line.count", "0")))


def failed_row(error: ScanError, width: int) -> bytes:
    """Return the row that makes PostgreSQL raise the error.

    The domain of "$path" does it. A statement that needs no "$path" never converts it, and stumbles
    over the missing "$size" instead.
    """
    values = [*[NULL] * width, copy_value(f"{error}\n{error.detail}")]
    return ("\t".join(values) + "\n").encode()


def _role_error(role: str, reason: str) -> ScanError:
    return ScanError(f"Not authorized to get credentials of role {role}", reason)


def _fetch_error(path: str, error: Exception) -> ScanError:
    context = f"Task failed due to an internal error. Error occured during scanning of {path}: "
    return ScanError(_FETCH_ERROR, context + _reason(error), _FETCH_CODE)


def _scan_error(path: str, error: Exception) -> ScanError:
    """Word a file's own fault, as Redshift does for a file of another shape than the table's."""
    return ScanError(_SCAN_ERROR, f"File '{path}' cannot be read: {_reason(error)}", _SCAN_CODE)


def _list_error(error: Exception, location: str) -> ScanError:
    status = _status(error)
    reason = f"S3ServiceException:{_reason(error)},Status {status}"
    return ScanError(reason, f"Failed to list {location}", _LIST_CODE)


def _catalog_error(error: Exception) -> ScanError:
    if isinstance(error, ClientError):
        code = error.response["Error"].get("Code", "")
        return ScanError(f"AwsClientException: {code} from glue - {_reason(error)}")
    return ScanError(f"AwsClientException: {error}")


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        found = error.response["Error"]
        return f"{found.get('Message') or error} ({found.get('Code', '')})"
    return str(error)


def _status(error: Exception) -> str:
    response = getattr(error, "response", {})
    return str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", "none"))


class ScanServer:
    """The HTTP server that PostgreSQL's curl talks to, on a free port of 127.0.0.1.

    It asks AWS at `endpoint_url`, with the region and the credentials of the environment, for the
    credentials of the roles. `scans` holds the latest requests, newest last.
    """

    def __init__(self, endpoint_url: str) -> None:
        self.scans: deque[Scan] = deque(maxlen=REMEMBERED_SCANS)
        self._endpoint_url = endpoint_url
        self._lakes: dict[str, tuple[float, Lake]] = {}
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The server's base URL, once it is started."""
        if self._server is None:
            raise RuntimeError("the scan server is not started")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Start to serve, in threads that end with the process."""
        if self._server is None:
            self._server = _Server(("127.0.0.1", 0), _handler(self.answer))
            serve = self._server.serve_forever
            threading.Thread(target=serve, args=(0.05,), name="spectrum", daemon=True).start()

    def stop(self) -> None:
        """Close the port; harmless when repeated."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, scan: Scan) -> Iterator[bytes]:
        """Stream the answer to a request; raises ScanError, perhaps in the middle."""
        self.scans.append(scan)
        lake = self._lake(scan.role)
        if scan.path == "/scan":
            yield from table_rows(lake, scan)
            return
        catalog = lake.catalog(scan.database)
        if scan.path == "/refusal":
            raise ScanError("The Data Catalog could not be read when the statement began")
        yield json.dumps(catalog).encode() + b"\n"

    def _lake(self, role: str) -> Lake:
        # One at a time: boto3 makes clients in one thread only, and uses them in any.
        with self._lock:
            expires, lake = self._lakes.get(role, (0.0, None))
            if lake is None or time.monotonic() > expires:
                lake = lake_of(role, self._endpoint_url)
                expires = time.monotonic() + CREDENTIAL_SECONDS - CREDENTIAL_MARGIN_SECONDS
                self._lakes[role] = expires, lake
            return lake


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256


def _handler(answer: Callable[[Scan], Iterator[bytes]]) -> type[BaseHTTPRequestHandler]:
    class ScanHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            self.send_response(200)
            # Chunked: an answer that breaks off is an error to curl, where one that ends with its
            # connection would pass for a short file.
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            # It breaks when PostgreSQL needs no more rows, or the statement was cancelled.
            with contextlib.suppress(ConnectionError):
                self._send_rows(Scan.from_target(self.path))

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: errors reach the statement."""

        def _send_rows(self, scan: Scan) -> None:
            try:
                for block in answer(scan):
                    self._send_chunk(block)
            except ScanError as error:
                if scan.path != "/catalog":
                    self._send_chunk(failed_row(error, scan.width))
                    return
                self._send_chunk(json.dumps({"error": str(error)}).encode() + b"\n")
            self._send_chunk(b"")

        def _send_chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    return ScanHandler
