import hashlib
from pathlib import Path

import pytest
from apply_sql import core

SQL_FOLDER = Path(__file__).parents[3] / "sql"
VALUES = {
    "GlueDatabase": "redshift_pipeline",
    "LoaderPasswordHash": core.password_hash("etl_loader", "secret"),
    "SpectrumRoleArn": "arn:aws:iam::123456789012:role/spectrum",
}
PROCEDURE = """\
create or replace procedure etl.p() as $$
begin
    select 1; -- not ';' here
end;
$$ language plpgsql"""


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        pytest.param("select 1; select 2;", ["select 1", "select 2"], id="two"),
        pytest.param("select 1", ["select 1"], id="no semicolon at the end"),
        pytest.param("", [], id="nothing"),
        pytest.param(" ;; \n ;", [], id="nothing but semicolons"),
        pytest.param("-- a; b\n/* c; */ ;", [], id="nothing but comments"),
        pytest.param("-- a;\nselect 1; -- b;", ["-- a;\nselect 1"], id="comments around"),
        pytest.param("select ';'; select 2", ["select ';'", "select 2"], id="in a string"),
        pytest.param("select 'it''s;'; x", ["select 'it''s;'", "x"], id="doubled quote"),
        pytest.param(r"select '\';'; x", [r"select '\';'", "x"], id="escaped quote"),
        pytest.param(r"select '\\'; x", [r"select '\\'", "x"], id="escaped backslash"),
        pytest.param('select "a;""b;"; x', ['select "a;""b;"', "x"], id="in an identifier"),
        pytest.param("select /* ' ; */ 1; x", ["select /* ' ; */ 1", "x"], id="quote in comment"),
        pytest.param("select '--'; x", ["select '--'", "x"], id="comment in a string"),
        pytest.param(f"{PROCEDURE};\nx;", [PROCEDURE, "x"], id="dollar body"),
        pytest.param("do $a$ x; $$ y; $b$; $a$; z", ["do $a$ x; $$ y; $b$; $a$", "z"], id="tags"),
        pytest.param("select 1 - -1; x", ["select 1 - -1", "x"], id="minus"),
        pytest.param("select '${a}', 'ä;日'; x", ["select '${a}', 'ä;日'", "x"], id="not ascii"),
    ],
)
def test_split_cuts_at_semicolons_of_the_outermost_level(sql: str, statements: list[str]) -> None:
    assert core.split("views/v.sql", sql) == statements


@pytest.mark.parametrize(
    ("sql", "opener"),
    [
        pytest.param("select 1;\n\nselect 'x; ", "'", id="string"),
        pytest.param('select 1;\n\nselect "x; ', '"', id="identifier"),
        pytest.param("select 1;\n\n/* x; ", "/*", id="comment"),
        pytest.param("select 1;\n\nas $$ x; $a$", "$$", id="body"),
        pytest.param("select 1;\n\nas $a$ x; $$", "$a$", id="tagged body"),
    ],
)
def test_what_is_never_closed_is_told_with_its_line(sql: str, opener: str) -> None:
    with pytest.raises(core.SqlFileError) as raised:
        core.split("views/v.sql", sql)

    assert str(raised.value) == f"views/v.sql: line 3: {opener} is never closed"


@pytest.mark.parametrize("name", core.SUBSTITUTION_PATTERNS)
def test_each_placeholder_is_used(name: str) -> None:
    assert any(f"${{{name}}}" in file.text for file in core.read_folder(SQL_FOLDER))


def test_render_fills_in_every_placeholder() -> None:
    file = core.SqlFile("views/v.sql", "${GlueDatabase} $$ ${SpectrumRoleArn} ${GlueDatabase}")

    role = VALUES["SpectrumRoleArn"]
    assert core.render(file, VALUES) == f"redshift_pipeline $$ {role} redshift_pipeline"


@pytest.mark.parametrize(
    "placeholder", ["${Nobody}", "${glueDatabase}", "${}", "${ GlueDatabase }"]
)
def test_unknown_placeholder_is_told_with_its_file(placeholder: str) -> None:
    file = core.SqlFile("views/v.sql", f"select '{placeholder}'")

    with pytest.raises(core.SqlFileError, match=r"^views/v\.sql: unknown placeholder"):
        core.render(file, VALUES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("GlueDatabase", "a'; drop schema etl; --", id="quote"),
        pytest.param("GlueDatabase", "a\n", id="line break at the end"),
        pytest.param("GlueDatabase", "", id="empty"),
        pytest.param("GlueDatabase", 7, id="number"),
        pytest.param("GlueDatabase", 'dev"', id="double quote"),
        pytest.param("SpectrumRoleArn", "arn:aws:iam::123456789012:user/x", id="user"),
        pytest.param("SpectrumRoleArn", "arn:aws:iam::123456789012:role/x y", id="blank"),
        pytest.param("LoaderPasswordHash", "correct horse", id="password in the open"),
        pytest.param("Nobody", "x", id="unknown name"),
    ],
)
def test_value_of_another_shape_is_refused_and_not_repeated(name: str, value: object) -> None:
    with pytest.raises(core.SubstitutionError, match=name) as raised:
        core.check_substitutions({name: value})

    assert str(value) == "" or str(value) not in str(raised.value).removesuffix(name)


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::000000000000:role/redshift-pipeline-SpectrumRole-1AbC",
        "arn:aws-us-gov:iam::123456789012:role/path/to/role_+=,.@-",
    ],
)
def test_role_arns_are_taken(arn: str) -> None:
    assert core.check_substitutions({"SpectrumRoleArn": arn}) == {"SpectrumRoleArn": arn}


def test_password_hash_is_the_verifier_that_aws_documents() -> None:
    # select md5('ez' || 'user1') is the example in Amazon Redshift's CREATE USER.
    assert core.password_hash("user1", "ez") == "md5153c434b4b77c89e6b94f12c5393af5b"


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        pytest.param("create table if not exists t (a int)", "table", id="table"),
        pytest.param("CREATE OR REPLACE VIEW v AS SELECT 1", "view", id="upper case view"),
        pytest.param("create materialized view v as select 1", "view", id="materialized view"),
        pytest.param(PROCEDURE, "procedure", id="procedure"),
        pytest.param("-- create view\ncreate table t (a int)", "table", id="comment before"),
        pytest.param("drop view if exists v; create view v as select 1", "view", id="second"),
        pytest.param(f"{PROCEDURE}; create table t (a int)", "procedure", id="first of two"),
    ],
)
def test_kind_is_that_of_the_first_create(sql: str, kind: str) -> None:
    assert core.object_kind("f.sql", core.split("f.sql", sql)) == kind


@pytest.mark.parametrize(
    "sql", ["grant usage on schema etl to x", "create schema s", "select 'create table t'"]
)
def test_file_that_creates_nothing_is_refused(sql: str) -> None:
    with pytest.raises(core.SqlFileError, match=r"^views/v\.sql: creates no"):
        core.plan([core.SqlFile("views/v.sql", sql)], VALUES, {})


def test_plan_orders_schema_then_tables_then_procedures_then_views() -> None:
    table, procedure, view = "create table t (a int)", PROCEDURE, "create view v as select 1"
    files = [
        core.SqlFile("datasets/a/one.sql", view),
        core.SqlFile("datasets/a/two.sql", procedure),
        core.SqlFile("datasets/b/three.sql", table),
        core.SqlFile("procedures/four.sql", procedure),
        core.SqlFile("views/five.sql", view),
        core.SqlFile("schema/0002.sql", "grant x to y"),
        core.SqlFile("schema/0001.sql", "create schema x"),
    ]

    for given in (files, files[::-1]):
        assert [step.path for step in core.plan(given, VALUES, {})] == [
            "schema/0001.sql",
            "schema/0002.sql",
            "datasets/b/three.sql",
            "procedures/four.sql",
            "datasets/a/two.sql",
            "views/five.sql",
            "datasets/a/one.sql",
        ]


def test_plan_leaves_out_what_is_recorded() -> None:
    files = [
        core.SqlFile("schema/0001.sql", "create schema x"),
        core.SqlFile("views/v.sql", "create view v as select '${GlueDatabase}'"),
    ]
    recorded = {step.path: step.checksum for step in core.plan(files, VALUES, {})}

    assert core.plan(files, VALUES, recorded) == []


def test_checksum_of_a_schema_file_is_of_its_raw_text() -> None:
    file = core.SqlFile("schema/0001.sql", "create schema ${GlueDatabase}")

    (step,) = core.plan([file], VALUES, {})

    assert step.checksum == hashlib.sha256(file.text.encode()).hexdigest()
    assert step.statements == ("create schema redshift_pipeline",)
    recorded = {file.path: step.checksum}
    assert core.plan([file], VALUES | {"GlueDatabase": "other"}, recorded) == []


def test_file_is_due_again_when_its_rendered_text_changes() -> None:
    file = core.SqlFile("views/v.sql", "create view v as select '${GlueDatabase}'")
    (step,) = core.plan([file], VALUES, {})

    steps = core.plan([file], VALUES | {"GlueDatabase": "other"}, {step.path: step.checksum})

    assert [step.path for step in steps] == ["views/v.sql"]


def test_files_of_a_deployment_are_planned_apart_and_by_name() -> None:
    files = [
        core.SqlFile("deployment/0002.sql", "grant usage on schema etl to etl_loader"),
        core.SqlFile("deployment/0001.sql", "-- b\nSelect 1 where x = '${GlueDatabase}';\nb; c;"),
    ]

    assert core.plan(files, VALUES, {}) == []
    assert [
        (step.path, step.condition, step.statements) for step in core.plan_deployment(files, VALUES)
    ] == [
        ("deployment/0001.sql", "-- b\nSelect 1 where x = 'redshift_pipeline'", ("b", "c")),
        ("deployment/0002.sql", "", ("grant usage on schema etl to etl_loader",)),
    ]


def test_query_with_nothing_to_do_where_it_gives_a_row_is_refused() -> None:
    with pytest.raises(core.SqlFileError, match=r"^deployment/0001.sql: holds a query and nothing"):
        core.plan_deployment([core.SqlFile("deployment/0001.sql", "select 1")], VALUES)


def test_edited_schema_file_is_refused() -> None:
    file = core.SqlFile("schema/0001.sql", "create schema x")

    with pytest.raises(core.SqlFileError, match=r"^schema/0001\.sql: was edited"):
        core.plan([file], VALUES, {"schema/0001.sql": "0" * 64})


def test_record_of_a_file_that_is_gone_is_no_error() -> None:
    assert core.plan([], VALUES, {"schema/0001.sql": "0" * 64}) == []


@pytest.mark.parametrize(
    ("count", "is_refused"), [pytest.param(39, False, id="39"), pytest.param(40, True, id="40")]
)
def test_a_file_has_at_most_39_statements(count: int, is_refused: bool) -> None:
    file = core.SqlFile("views/v.sql", "create view v as select 1;" * count)

    if is_refused:
        with pytest.raises(core.SqlFileError, match=r"^views/v\.sql: 40 statements, 39"):
            core.plan([file], VALUES, {})
    else:
        assert len(core.plan([file], VALUES, {})[0].statements) == count


@pytest.mark.parametrize(
    ("size", "is_refused"),
    [pytest.param(100_000, False, id="full"), pytest.param(100_001, True, id="over")],
)
def test_a_statement_has_at_most_100_kilobytes(size: int, is_refused: bool) -> None:
    head = "create view v as select 1; create view w as select '"
    filling = "ä" * 100_000
    last = (head.partition("; ")[2] + filling).encode()[: size - 1].decode(errors="ignore")
    last += "x" * (size - 1 - len(last.encode())) + "'"
    file = core.SqlFile("views/v.sql", f"create view v as select 1; {last}")

    if is_refused:
        with pytest.raises(core.SqlFileError, match="statement 2 has 100001 bytes"):
            core.plan([file], VALUES, {})
    else:
        assert len(core.plan([file], VALUES, {})[0].statements[1].encode()) == size


def test_file_without_a_statement_is_refused() -> None:
    with pytest.raises(core.SqlFileError, match=r"^schema/0001\.sql: holds no statement"):
        core.plan([core.SqlFile("schema/0001.sql", "-- nothing\n")], VALUES, {})


def test_folder_is_read_with_relative_paths(tmp_path: Path) -> None:
    (tmp_path / "datasets" / "a").mkdir(parents=True)
    (tmp_path / "datasets" / "a" / "load_a.sql").write_text("select 'ä'", encoding="utf-8")
    (tmp_path / "README.md").write_text("not SQL")

    assert core.read_folder(tmp_path) == [core.SqlFile("datasets/a/load_a.sql", "select 'ä'")]


def test_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "v.sql").write_bytes(b"select '\xff'")

    with pytest.raises(core.SqlFileError, match=r"^v\.sql: is not UTF-8"):
        core.read_folder(tmp_path)


def test_the_project_s_own_folder_can_be_planned() -> None:
    steps = core.plan(core.read_folder(SQL_FOLDER), VALUES, {})

    assert steps[0].path == core.BOOTSTRAP_PATH
    assert all("${" not in statement for step in steps for statement in step.statements)
