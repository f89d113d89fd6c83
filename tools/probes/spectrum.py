"""What Spectrum makes of files, read through a table of the probes' own.

Each file has a partition to itself: one that cannot be read spoils no other's answer.
"""

from tools.probes import asks_aws, asks_warehouse
from tools.probes.redshift import external_schema
from tools.verification.bench import Bench, Sample
from tools.verification.finding import Finding, UnansweredError, finding
from tools.verification.lake import Lake
from tools.verification.warehouse import Answer

FILE = "file.csv"


@asks_warehouse
def sees_partition_at_once(bench: Bench) -> Finding:
    answer = _read(bench, "at_once", b"a,b,c\n")
    return finding(answer.rows == [["a", "b", "c"]], _told(answer))


@asks_warehouse
def gives_null_for_missing_fields(bench: Bench) -> Finding:
    answer = _read(bench, "short_row", b"a\n")
    return finding(answer.rows == [["a", None, None]], f"of 'a': {_told(answer)}")


@asks_warehouse
def drops_surplus_fields(bench: Bench) -> Finding:
    answer = _read(bench, "surplus", b"a,b,c,d\n")
    return finding(answer.rows == [["a", "b", "c"]], f"of 'a,b,c,d': {_told(answer)}")


@asks_warehouse
def keeps_backslash(bench: Bench) -> Finding:
    answer = _read(bench, "backslash", b"\\N,b,c\n")
    return finding(answer.rows == [["\\N", "b", "c"]], rf"of '\N,b,c': {_told(answer)}")


@asks_warehouse
def fails_on_bad_text(bench: Bench) -> Finding:
    answer = _read(bench, "bad_text", b"a,\xff,c\n")
    return finding(bool(answer.error), _told(answer))


@asks_warehouse
def skips_byte_order_mark(bench: Bench) -> Finding:
    answer = _read(bench, "mark", b"\xef\xbb\xbfa,b,c\n")
    return finding(answer.rows == [["a", "b", "c"]], _told(answer))


@asks_warehouse
def drops_carriage_return(bench: Bench) -> Finding:
    answer = _read(bench, "return", b"a,b,c\r\nd,e,f\r\n")
    rows = sorted(answer.rows)
    return finding(rows == [["a", "b", "c"], ["d", "e", "f"]], _told(answer))


@asks_warehouse
def gives_plain_path(bench: Bench) -> Finding:
    """Of a name with characters that are encoded elsewhere."""
    name = "a b+c%41.csv"
    _lake(bench).add("path", {name: b"a,b,c\n"})
    sql = f'select "$path" from {_lake(bench).table} where run_id = :run_id'
    [path] = bench.warehouse.run(sql, run_id="path").one_row
    return finding(path == _lake(bench).location("path") + name, f"it ends with {path[-20:]!r}")


@asks_warehouse
def reads_all_files_for_one_path(bench: Bench) -> Finding:
    _lake(bench).add("paths", {"one.csv": b"a,b,c\n", "two.csv": b"d,e,f\n"})
    sql = f'select first from {_lake(bench).table} where run_id = :run_id and "$path" = :path'
    path = _lake(bench).location("paths") + "one.csv"
    answer = bench.warehouse.run(sql, run_id="paths", path=path)
    if answer.rows != [["a"]]:
        raise UnansweredError(_told(answer))
    detail = bench.warehouse.run(
        "select nvl(sum(scanned_files), 0) from sys_external_query_detail "
        "where query_id = cast(:id as bigint)",
        id=str(answer.described["RedshiftQueryId"]),
    )
    [files] = detail.one_row
    if not files:
        raise UnansweredError("SYS_EXTERNAL_QUERY_DETAIL does not know the query (yet)")
    return finding(int(files) == 2, f"scanned_files {files} of 2")


def bring_errors_about(bench: Bench) -> None:
    """Samples of what Spectrum says: a file that is called gzip and is none, and a place that its
    role may not read. Raises UnansweredError, SpentError, and botocore's
    errors."""
    _lake(bench).add("damaged", {"file.csv.gz": b"this is not gzip\n"})
    elsewhere = f"s3://{bench.deployed.outputs['ArchiveBucketName']}/quarantine/{bench.name}/"
    _lake(bench).add("denied", {}, elsewhere)
    sql = f'select "$path", first from {_lake(bench).table} where run_id = :run_id'
    for what, partition, expected, kind in (
        ("a corrupt gzip", "damaged", "DataError", "spectrum"),
        ("a denied read", "denied", "OperatorError", "spectrum"),
    ):
        answer = bench.warehouse.run(sql, run_id=partition)
        error = answer.error or f"no error, but {answer.rows}"
        bench.samples.append(Sample(what, error, expected, kind))


@asks_warehouse
def shows_role_of_schema(bench: Bench) -> Finding:
    sql = "select esoptions from svv_external_schemas where schemaname = :name"
    [options] = bench.warehouse.run(sql, name=_lake(bench).schema).one_row
    return finding(f'"{bench.deployed.spectrum_role}"' in options, options)


@asks_warehouse
def assumes_role(bench: Bench) -> Finding:
    """Redshift reads with the deployed role, under the conditions of its trust policy."""
    answer = _read(bench, "role", b"a,b,c\n")
    if answer.error and "authoriz" not in answer.error.lower():
        raise UnansweredError(answer.error)
    return finding(not answer.error, answer.error or "a file was read with it")


@asks_aws
def takes_descriptor_back(bench: Bench) -> Finding:
    """Glue takes the StorageDescriptor that it gave, with another location."""
    _lake(bench).add("descriptor", {})
    answer = _lake(bench).glue.get_partition(
        DatabaseName=bench.deployed.glue_database,
        TableName=_lake(bench).name,
        PartitionValues=["descriptor"],
    )
    location = answer["Partition"]["StorageDescriptor"]["Location"]
    return finding(location == _lake(bench).location("descriptor"), "the partition was made")


@asks_aws
def tells_names_by_case(bench: Bench) -> Finding:
    bench.lake.make_table()
    name = _lake(bench).name.upper()
    try:
        found = _lake(bench).glue.get_table(DatabaseName=bench.deployed.glue_database, Name=name)
    except _lake(bench).glue.exceptions.EntityNotFoundException:
        return finding(True, f"{name} is not found")
    return finding(False, f"{name} gives the table {found['Table']['Name']}")


@asks_aws
def is_governed_by_iam(bench: Bench) -> Finding:
    answer = _lake(bench).glue.get_database(Name=bench.deployed.glue_database)
    granted = answer["Database"].get("CreateTableDefaultPermissions")
    if granted is None:
        raise UnansweredError("Glue names no default permissions of the database")
    names = [one["Principal"]["DataLakePrincipalIdentifier"] for one in granted]
    return finding(
        "IAM_ALLOWED_PRINCIPALS" in names,
        f"new tables are granted to {', '.join(names) or 'nobody'}",
    )


def _lake(bench: Bench) -> Lake:
    """The table, once there is a schema through which the warehouse sees it."""
    external_schema(bench)
    return bench.lake


def _read(bench: Bench, partition: str, content: bytes) -> Answer:
    return _lake(bench).read(partition, {FILE: content})


def _told(answer: Answer) -> str:
    return answer.error or f"{answer.rows}"
