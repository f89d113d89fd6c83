import gzip
import io
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from local import spectrum
from local.dialect import translate
from local.serde import OPEN_CSV
from local.spectrum import Lake, ScanServer, postgres_type, trusts_redshift
from local.warehouse import Warehouse

ROLE = "arn:aws:iam::000000000000:role/it's a $(role) & more"
DATABASE = 'the lake\'s "database"'


class FakeAws:
    """Glue and S3: one table, its partitions by value, its objects by key."""

    def __init__(self) -> None:
        self.columns = ["k", "v"]
        self.keys = ["run_id"]
        self.parameters: dict[str, str] = {}
        self.serde = OPEN_CSV
        self.partitions: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.denied: set[str] = set()

    def add(self, run_id: str, name: str, data: bytes) -> None:
        self.objects[f"staging/run_id={run_id}/{name}"] = data
        if run_id not in self.partitions:
            self.partitions.append(run_id)

    def get_paginator(self, operation: str) -> Any:
        class Pages:
            paginate = getattr(self, operation)

        return Pages

    def get_tables(self, **_arguments: str) -> list[Any]:
        self._check("GetTables")
        return [{"TableList": [self._table()]}]

    def get_table(self, **_arguments: str) -> Any:
        return {"Table": self._table()}

    def get_partitions(self, **_arguments: str) -> list[Any]:
        partitions = [
            {"Values": [value], "StorageDescriptor": self._storage(f"run_id={value}")}
            for value in self.partitions
        ]
        return [{"Partitions": partitions}]

    def list_objects_v2(self, Bucket: str, Prefix: str) -> list[Any]:
        found = [
            {"Key": key, "Size": len(data), "ETag": "etag"}
            for key, data in sorted(self.objects.items())
            if key.startswith(Prefix)
        ]
        return [{"Contents": found}]

    def get_object(self, Bucket: str, Key: str, IfMatch: str) -> Any:
        self._check("GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def _check(self, operation: str) -> None:
        if operation in self.denied:
            error = {"Code": "AccessDenied", "Message": f"not authorized to perform {operation}"}
            raise ClientError({"Error": error, "ResponseMetadata": {}}, operation)

    def _table(self) -> Any:
        return {
            "Name": "flights",
            "PartitionKeys": [{"Name": name, "Type": "string"} for name in self.keys],
            "StorageDescriptor": self._storage(""),
            "Parameters": self.parameters,
        }

    def _storage(self, folder: str) -> Any:
        return {
            "Location": f"s3://raw/staging/{folder}",
            "Columns": [{"Name": name, "Type": "string"} for name in self.columns],
            "SerdeInfo": {"SerializationLibrary": self.serde, "Parameters": {}},
        }


@pytest.fixture(scope="module")
def server() -> Iterator[ScanServer]:
    instance = ScanServer("http://127.0.0.1:1")
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, server: ScanServer) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("cluster") / "warehouse"
    instance = Warehouse(folder, "dev", "etl_admin", "secret", scan_endpoint=server.url)
    instance.start()
    spectrum.install(instance)
    spectrum.install(instance)
    yield instance
    instance.stop()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, server: ScanServer) -> FakeAws:
    aws = FakeAws()
    monkeypatch.setattr(spectrum, "lake_of", lambda _role, _endpoint: Lake(aws, aws))
    server._lakes.clear()
    server.scans.clear()
    return aws


@pytest.fixture
def warehouse(started: Warehouse, aws: FakeAws) -> Iterator[Warehouse]:
    execute(started, "select redshift.create_external_schema('lake', %s, %s)", DATABASE, ROLE)
    yield started
    execute(started, "drop schema lake cascade")


def execute(warehouse: Warehouse, sql: str, *values: str) -> list[tuple[Any, ...]]:
    with warehouse.connect("etl_admin", "secret") as connection:
        cursor = connection.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def query(warehouse: Warehouse, sql: str, *values: str) -> list[tuple[Any, ...]]:
    assert spectrum.refresh(warehouse) == {}
    return execute(warehouse, sql, *values)


def failure(warehouse: Warehouse, sql: str, *values: str) -> str:
    spectrum.refresh(warehouse)
    with pytest.raises(psycopg.Error) as caught:
        execute(warehouse, sql, *values)
    return str(caught.value)


def scanned(server: ScanServer) -> list[str | None]:
    return [scan.partition for scan in server.scans if scan.path == "/scan"]


def test_rows_with_their_partition_path_and_size(warehouse: Warehouse, aws: FakeAws) -> None:
    aws.add("r 1", "a.csv", b'k,v\r\n1,"x, ""y"""\r\n')
    aws.add("r 1", "b.csv.gz", gzip.compress(b"2"))
    for hidden in ("_a.csv", ".a", "#a", "a~"):
        aws.add("r 1", hidden, b"hidden,hidden")
    rows = query(warehouse, 'select k, v, run_id, "$path", "$size" from lake.flights order by k')
    assert rows == [
        ("1", 'x, "y"', "r 1", "s3://raw/staging/run_id=r 1/a.csv", 19),
        ("2", None, "r 1", "s3://raw/staging/run_id=r 1/b.csv.gz", 21),
        ("k", "v", "r 1", "s3://raw/staging/run_id=r 1/a.csv", 19),
    ]


def test_one_partition_is_scanned_and_no_other(
    warehouse: Warehouse, aws: FakeAws, server: ScanServer
) -> None:
    for run_id in ("r1", "it's; 'r2' & $(r3)", "%72"):
        aws.add(run_id, "a.csv", b"1,2\n")
    for run_id in aws.partitions:
        server.scans.clear()
        rows = query(warehouse, "select run_id from lake.flights where run_id = %s", run_id)
        assert rows == [(run_id,)]
        assert scanned(server) == [run_id]
    server.scans.clear()
    assert query(warehouse, "select k from lake.flights where run_id = 'none'") == []
    assert scanned(server) == []


def test_a_procedure_s_parameter_prunes_under_every_plan(
    warehouse: Warehouse, aws: FakeAws, server: ScanServer
) -> None:
    aws.add("r1", "a.csv", b"1,2\n")
    aws.add("r2", "a.csv", b"1,2\n3,4\n")
    spectrum.refresh(warehouse)
    with warehouse.connect("etl_admin", "secret") as connection:
        connection.execute("""
            create procedure pg_temp.counted(p_run_id varchar(80), inout p_rows bigint)
            language plpgsql as $$
            begin
                select count(*) into p_rows from lake.flights where run_id = p_run_id;
            end $$
        """)
        server.scans.clear()
        for _ in range(8):  # PostgreSQL makes a generic plan after five
            assert connection.execute("call pg_temp.counted('r2', 0)").fetchone() == (2,)
    assert scanned(server) == ["r2"] * 8


def test_a_procedure_that_compares_as_redshift_prunes(
    warehouse: Warehouse, aws: FakeAws, server: ScanServer
) -> None:
    aws.add("r1", "broken.csv.gz", b"no gzip")
    aws.add("r2", "a.csv", b"1,2\n3,4\n")
    spectrum.refresh(warehouse)
    with warehouse.connect("etl_admin", "secret") as connection:
        connection.execute(
            translate("""
                create procedure public.counted(p_run_id varchar(80), inout p_rows bigint)
                as $$
                begin
                    select count(*) into p_rows from lake.flights where run_id = p_run_id;
                end;
                $$
                language plpgsql
                security definer
                set search_path to pg_catalog
            """).encode()
        )
        server.scans.clear()
        assert connection.execute("call public.counted('r2', 0)").fetchone() == (2,)
        connection.rollback()
    assert scanned(server) == ["r2"]


def test_an_external_schema_has_its_tables_in_the_transaction_that_makes_it(
    warehouse: Warehouse, aws: FakeAws
) -> None:
    aws.add("r1", "a.csv", b"1,2\n")
    with warehouse.connect("etl_admin", "secret") as connection:
        connection.execute("select redshift.create_external_schema('pond', 'db', 'role')")
        assert connection.execute("select k from pond.flights").fetchall() == [("1",)]
        connection.rollback()


def test_a_partition_comes_at_once_and_goes_when_no_one_reads(
    warehouse: Warehouse, aws: FakeAws
) -> None:
    names = 'select "values" from svv_external_partitions order by 1'
    aws.add("r1", "a.csv", b"1,2\n")
    with warehouse.connect("etl_admin", "secret") as load:
        spectrum.refresh(warehouse)
        load.execute("select k from lake.flights where run_id = 'r1'")
        aws.partitions.remove("r1")
        aws.add("r2", "a.csv", b"1,2\n")
        assert query(warehouse, names) == [('["r1"]',), ('["r2"]',)]
        assert load.execute("select k from lake.flights where run_id = 'r1'").fetchall() == []
        load.commit()
    assert query(warehouse, names) == [('["r2"]',)]


def test_refreshes_at_the_same_time(warehouse: Warehouse, aws: FakeAws) -> None:
    def load(run_id: str) -> list[tuple[str]]:
        aws.add(run_id, "a.csv", b"1,2\n")
        return query(warehouse, "select run_id from lake.flights where run_id = %s", run_id)

    run_ids = [f"r{number}" for number in range(8)]
    with ThreadPoolExecutor(len(run_ids)) as pool:
        assert list(pool.map(load, run_ids)) == [[(run_id,)] for run_id in run_ids]


def test_a_table_whose_columns_changed_is_made_again(warehouse: Warehouse, aws: FakeAws) -> None:
    aws.add("r1", "a.csv", b"1,2,3\n")
    assert query(warehouse, "select v from lake.flights") == [("2",)]
    aws.columns.append("w")
    assert query(warehouse, "select w from lake.flights") == [("3",)]


@pytest.mark.parametrize("keys", [[], ["year", "month"]])
def test_a_table_without_a_single_partition_key_is_read_whole(
    warehouse: Warehouse, aws: FakeAws, keys: list[str]
) -> None:
    aws.keys = keys
    aws.objects["staging/deep/a.csv"] = b"1,2\n"
    rows = query(warehouse, "select k from lake.flights")
    assert rows == ([] if keys else [("1",)])


def test_skipped_header_lines(warehouse: Warehouse, aws: FakeAws) -> None:
    aws.parameters["skip.header.line.count"] = "1"
    aws.add("r1", "a.csv", b"k,v\n1,2\n")
    aws.add("r1", "b.csv", b"k,v\n")
    assert query(warehouse, "select k from lake.flights") == [("1",)]


def test_a_limit_ends_the_scan_without_an_error(warehouse: Warehouse, aws: FakeAws) -> None:
    aws.add("r1", "a.csv", b"1,2\n" * 2_000_000)
    assert query(warehouse, "select k from lake.flights limit 1") == [("1",)]


def test_a_damaged_file_fails_the_statement_and_names_it(
    warehouse: Warehouse, aws: FakeAws
) -> None:
    aws.add("r1", "a.csv.gz", gzip.compress(b"1,2\n" * 500_000)[:-8] + b"damaged!")
    sql = 'select count("$path") from lake.flights'
    message = failure(warehouse, sql)
    assert "Spectrum Scan Error. File 's3://raw/staging/run_id=r1/a.csv.gz' cannot be" in message
    assert "incorrect data check" in message
    assert "code: 15007" in message
    assert "$size" in failure(warehouse, "select count(*) from lake.flights where run_id = 'r1'")


def test_a_denied_object_fails_the_statement(warehouse: Warehouse, aws: FakeAws) -> None:
    aws.add("r1", "a.csv", b"1,2\n")
    aws.denied = {"GetObject"}
    message = failure(warehouse, 'select k, "$path" from lake.flights')
    assert "S3 Query Exception (Fetch)" in message
    assert "s3://raw/staging/run_id=r1/a.csv: not authorized to perform GetObject" in message


def test_without_the_catalog_no_value_passes_for_empty(warehouse: Warehouse, aws: FakeAws) -> None:
    spectrum.refresh(warehouse)
    aws.denied = {"GetTables"}
    assert "not authorized to perform GetTables" in spectrum.refresh(warehouse)["lake"]
    aws.add("new", "a.csv", b"1,2\n")
    sql = "select k, \"$path\" from lake.flights where run_id = 'new'"
    assert "not authorized to perform GetTables" in failure(warehouse, sql)
    aws.denied = set()
    assert len(query(warehouse, sql)) == 1


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("into", ["", "create temp table loaded as "])
def test_a_scan_that_breaks_off_is_no_short_file(
    warehouse: Warehouse,
    aws: FakeAws,
    monkeypatch: pytest.MonkeyPatch,
    autocommit: bool,
    into: str,
) -> None:
    def broken(_lake: Lake, _file: spectrum.DataFile) -> Iterator[bytes]:
        yield b"1,2\n" * 100_000
        raise ConnectionResetError

    def run() -> None:
        with warehouse.connect("etl_admin", "secret") as connection:
            connection.autocommit = autocommit
            connection.execute(into + "select k from lake.flights")

    aws.add("r1", "a.csv", b"1,2\n")
    monkeypatch.setattr(Lake, "read", broken)
    spectrum.refresh(warehouse)
    with pytest.raises(psycopg.Error, match="exit code 18"):
        run()


def test_another_serde_is_refused(warehouse: Warehouse, aws: FakeAws) -> None:
    aws.serde = "org.apache.hadoop.hive.serde2.avro.AvroSerDe"
    aws.add("r1", "a.avro", b"Obj")
    assert "AvroSerDe" in failure(warehouse, 'select k, "$path" from lake.flights')


def test_a_plain_client_sees_a_broken_answer_too(server: ScanServer, aws: FakeAws) -> None:
    aws.add("r1", "a.csv.gz", b"no gzip")
    url = f"{server.url}/scan?database=d&role=r&table=flights&width=3&partition=r1"
    with pytest.raises(IncompleteRead):
        urllib.request.urlopen(url).read()


@pytest.mark.parametrize(
    ("hive", "postgres"),
    [("string", "text"), ("Decimal(8, 2)", "decimal(8, 2)"), ("array<int>", "text")],
)
def test_types(hive: str, postgres: str) -> None:
    assert postgres_type(hive) == postgres


def test_a_role_must_trust_redshift() -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": ["redshift.amazonaws.com"]}}
    assert trusts_redshift({"Statement": statement})
    assert not trusts_redshift({"Statement": [{**statement, "Effect": "Deny"}]})
    assert not trusts_redshift({"Statement": [{"Effect": "Allow", "Principal": "*"}]})


def test_external_tables_outlive_a_crash_of_the_warehouse(
    warehouse: Warehouse, aws: FakeAws
) -> None:
    aws.add("r1", "a.csv", b"1,2\n")
    assert query(warehouse, "select k from lake.flights") == [("1",)]

    warehouse.crash()
    warehouse.restart()

    assert execute(warehouse, "select k from lake.flights") == [("1",)]
    aws.add("r2", "b.csv", b"3,4\n")
    assert query(warehouse, "select k from lake.flights order by k") == [("1",), ("3",)]
