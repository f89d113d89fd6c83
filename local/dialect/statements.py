"""One SQL statement of Redshift as PostgreSQL runs it, or the reason why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from local.dialect.expressions import SYSTEM_VIEW, literal, rewrite
from local.dialect.gate import EXTERNAL_SCHEMA, Statement, check, check_patterns
from local.dialect.semistructured import unnested
from local.dialect.tables import column_definition, create_table
from local.dialect.tokens import DialectError, Token, outline, render

Translation = Callable[[Sequence[Token]], str]

_NEVER = {
    "truncate": "it commits the transaction; use delete from",
    "vacuum": "it runs in no transaction, and Redshift vacuums by itself",
    "copy": "the product reads through Spectrum; the laptop has no COPY",
    "unload": "the laptop has no UNLOAD",
    "prepare": "it cannot run in a procedure, and the product has no use for it",
    "execute": "it runs prepared statements, which the laptop does not have",
    "do": "Redshift has no DO blocks; write a procedure",
    "declare": "cursors are not vouched for",
    "savepoint": "Redshift has no savepoints",
    "release": "Redshift has no savepoints",
    "notify": "Redshift does not have it",
    "listen": "Redshift does not have it",
    "refresh": "the laptop has no materialized views",
    "reindex": "Redshift has no indexes",
    "cluster": "Redshift has no indexes",
    "values": "Redshift has it in INSERT alone",
    "table": "Redshift does not have it",
}
_TRANSACTION = {"begin", "start", "commit", "end", "rollback", "abort"}
_SESSION = {"set", "reset", "show"}
_SETTINGS = {"search_path", "statement_timeout", "timezone", "application_name", "client_encoding"}


def translate_statement(tokens: Sequence[Token], in_procedure: bool = False) -> str:
    """The statement for PostgreSQL. Raises DialectError.

    `in_procedure`: whether it stands in a procedure's body, where Redshift takes less.
    """
    verb = tokens[0].word
    if verb in _NEVER:
        raise DialectError(f"{verb.upper()}: {_NEVER[verb]}")
    if verb in _TRANSACTION:
        return _transaction(tokens, in_procedure)
    if in_procedure and verb in _SESSION:
        raise DialectError(f"{verb.upper()}: not vouched for in a procedure")
    if verb not in _VERBS:
        raise DialectError(f"{tokens[0].text.upper()}: not a statement vouched for")
    return _VERBS[verb](tokens)


def translate_expression(tokens: Sequence[Token]) -> str:
    """An expression of a procedure's body. Raises DialectError."""
    if not tokens:
        raise DialectError("an expression is missing")
    check([Token("word", "select"), Token(tokens[0].kind, tokens[0].text, " "), *tokens[1:]])
    return rewrite(tokens)


def _transaction(tokens: Sequence[Token], in_procedure: bool) -> str:
    verb = tokens[0].word.upper()
    if in_procedure:
        raise DialectError(
            f"{verb}: it ends the procedure's transaction, so half a load could stay"
        )
    if not re.fullmatch(
        r"start transaction|(begin|commit|end|rollback|abort)( work| transaction)?",
        outline(tokens),
    ):
        raise DialectError(f"{verb}: only its plain form is vouched for")
    return render(tokens)


def _checked(tokens: Sequence[Token]) -> str:
    translated = rewrite(unnested(tokens))
    check(tokens)
    return translated


def _query(tokens: Sequence[Token]) -> str:
    if _reads_catalog_only(tokens):
        return render(tokens)  # psql's \d and its like
    if re.search(r"^(with\b.*\) )?select\b[^()]*? into \w", outline(tokens)):
        raise DialectError("SELECT INTO: outside a procedure it makes a table; use create table as")
    return _checked(tokens)


def _reads_catalog_only(tokens: Sequence[Token]) -> bool:
    sources = re.findall(r"\b(?:from|join) (\w+) (?:\. (\S+))?", outline(tokens))
    return bool(sources) and all(
        schema == "pg_catalog" and not SYSTEM_VIEW.match(name) for schema, name in sources
    )


def _delete(tokens: Sequence[Token]) -> str:
    alias = r"delete from [\w\".]+( \. [\w\"]+)* (as )?(?!using\b|where\b)[\w\"]"
    if re.match(alias, outline(tokens)):
        raise DialectError("DELETE with an alias: Redshift documents none")
    return _checked(tokens)


def _merge(tokens: Sequence[Token]) -> str:
    text = outline(tokens)
    if re.search(r"\busing \(", text):
        raise DialectError("MERGE: its source is a table, never a query")
    if re.search(r"\bmatched (and|by)\b|\bdo nothing\b", text):
        raise DialectError("MERGE: Redshift has no conditions on MATCHED and no DO NOTHING")
    return _checked(tokens)


def _lock(tokens: Sequence[Token]) -> str:
    if " in " in outline(tokens):
        raise DialectError("LOCK … IN … MODE: Redshift locks in access exclusive mode only")
    return _checked(tokens)


def _explain(tokens: Sequence[Token]) -> str:
    return f"explain {translate_statement(tokens[1:])}"


def _session(tokens: Sequence[Token]) -> str:
    names = {token.word for token in tokens[1:3]}
    if "local" in names:
        raise DialectError("SET LOCAL: Redshift does not have it")
    if not names & _SETTINGS:
        raise DialectError(f"{render(tokens[:2]).upper()}: a setting that the laptop lacks")
    return _checked(tokens)


def _access(tokens: Sequence[Token]) -> str:
    text = outline(tokens)
    external = rf"\bon (table )?{EXTERNAL_SCHEMA} \.|\btables in schema {EXTERNAL_SCHEMA}\b"
    if re.search(external, text):
        raise DialectError(
            "GRANT on an external table: Redshift grants usage on the external schema only"
        )
    is_of_role = re.fullmatch(r"(grant|revoke) role \w+ (to|from) (role )?\w+", text)
    is_on_object = re.search(r"^\w+ [^()]*(\([^()]*\))?[^()]* on ", text)
    if not (is_of_role or is_on_object) or " granted by " in text:
        raise DialectError("GRANT: only roles, and privileges on objects, are vouched for")
    if re.search(r"\bassumerole\b", text):
        raise DialectError("GRANT ASSUMEROLE: the laptop has no COPY and no UNLOAD")
    check(tokens)
    return rewrite(_without_role(tokens))


def _without_role(tokens: Sequence[Token]) -> list[Token]:
    """PostgreSQL has one kind of name for users and roles, and no word before it."""
    before = {"grant", "revoke", "to", "from", ","}
    return [
        token
        for index, token in enumerate(tokens)
        if not (token.word == "role" and tokens[index - 1].text.lower() in before)
    ]


def _comment(tokens: Sequence[Token]) -> str:
    if not re.match(r"comment on (table|column|view|database|constraint)\b", outline(tokens)):
        raise DialectError("COMMENT ON: Redshift has it for tables, columns, views, databases")
    return _checked(tokens)


# ---- CREATE -------------------------------------------------------------------------------


def _create(tokens: Sequence[Token]) -> str:
    return _by_outline(tokens, _CREATES)


def _by_outline(tokens: Sequence[Token], known: list[tuple[str, Translation]]) -> str:
    text = outline(tokens)
    for pattern, translation in known:
        if re.match(pattern + r"\b", text):
            return translation(tokens)
    raise DialectError(f"{' '.join(text.split()[:3]).upper()}: not a statement vouched for")


def _refused(reason: str) -> Translation:
    """A translation that never succeeds."""

    def refuse(_: Sequence[Token]) -> str:
        raise DialectError(reason)

    return refuse


def _create_table(tokens: Sequence[Token]) -> str:
    if re.match(rf"create.* table (if not exists )?{EXTERNAL_SCHEMA} \.", outline(tokens)):
        raise DialectError(f"CREATE TABLE {EXTERNAL_SCHEMA}.…: an external schema holds none")
    check_patterns(tokens)
    translated = create_table(tokens)
    check(tokens)
    return translated


def _create_view(tokens: Sequence[Token]) -> str:
    statement = check(tokens)
    late = ["with", "no", "schema", "binding"]
    is_late = [token.word for token in tokens[-4:]] == late
    if _reads_external(statement) and not is_late:
        raise DialectError(
            "CREATE VIEW over an external table: Redshift wants WITH NO SCHEMA BINDING"
        )
    return rewrite(tokens[:-4] if is_late else tokens)


def _reads_external(statement: Statement) -> bool:
    return any(table.startswith(f"{EXTERNAL_SCHEMA}.") for table in statement.tables)


_EXTERNAL_SCHEMA_FORM = re.compile(
    r"create external schema (?P<exists>if not exists )?\S+ "
    r"from data catalog database '' iam_role ''"
)


def _create_external_schema(tokens: Sequence[Token]) -> str:
    match = _EXTERNAL_SCHEMA_FORM.fullmatch(outline(tokens))
    if match is None:
        raise DialectError(
            "CREATE EXTERNAL SCHEMA: only FROM DATA CATALOG DATABASE '…' IAM_ROLE '…' is vouched "
            "for; the Glue database is CloudFormation's"
        )
    check(tokens)
    name = tokens[6 if match["exists"] else 3].name
    database, role = (token.text for token in tokens if token.kind == "string")
    quiet = str(bool(match["exists"])).lower()
    return _run(f"redshift.create_external_schema({literal(name)}, {database}, {role}, {quiet})")


def _run(call: str) -> str:
    # A DO block gives no result set, as Redshift's statement gives none, and it may stand in
    # a procedure's body too.
    return f"do $redshift$ begin perform {call}; end $redshift$"


def _create_user(tokens: Sequence[Token]) -> str:
    check(tokens)
    spelt = {"createuser": "superuser", "nocreateuser": "nosuperuser", "disable": "null"}
    if any(token.word in {"superuser", "nosuperuser", "login", "nologin"} for token in tokens):
        raise DialectError("CREATE USER … SUPERUSER: on Redshift it is CREATEUSER")
    if any(token.text.startswith(("'sha256|", "'SHA256|")) for token in tokens):
        raise DialectError("PASSWORD 'sha256|…': the laptop checks md5 verifiers only")
    return rewrite(
        [Token("word", spelt[t.word], t.before) if t.word in spelt else t for t in tokens]
    )


# ---- DROP and ALTER -----------------------------------------------------------------------


def _drop(tokens: Sequence[Token]) -> str:
    return _by_outline(tokens, _DROPS)


def _drop_schema(tokens: Sequence[Token]) -> str:
    check(tokens)
    text = outline(tokens)
    match = re.fullmatch(r"drop schema (if exists )?(\S+)( cascade| restrict)?", text)
    if match is None:
        raise DialectError("DROP SCHEMA: one schema at a time, without DROP EXTERNAL DATABASE")
    exists, name, manner = match.groups()
    flags = f"{str(bool(exists)).lower()}, {str(manner == ' cascade').lower()}"
    folded = name.strip('"')
    return _run(f"redshift.drop_schema({literal(folded)}, {flags})")


def _alter(tokens: Sequence[Token]) -> str:
    return _by_outline(tokens, _ALTERS)


def _alter_database(tokens: Sequence[Token]) -> str:
    match = re.fullmatch(
        r"alter database (\S+) isolation level (snapshot|serializable)", outline(tokens)
    )
    if match is None:
        raise DialectError("ALTER DATABASE: only its isolation level is vouched for")
    name, level = match.groups()
    return _run(f"redshift.alter_isolation_level({literal(name.strip(chr(34)))}, {literal(level)})")


def _alter_table(tokens: Sequence[Token]) -> str:
    text = outline(tokens)
    form = next((f for f in _ALTER_TABLE_FORMS if re.search(f[0], text)), None)
    if form is None:
        raise DialectError("ALTER TABLE: not a form vouched for")
    if form[1]:
        raise DialectError(form[1])
    check(tokens)
    if re.search(_LAYOUT, text):
        return "do $redshift$ begin null; end $redshift$"
    if added := re.search(rf"{_NAME} add (column )?", text):
        after = len(added.group().split())
        return f"{rewrite(tokens[:after])} {column_definition(tokens[after:])}"
    return rewrite(tokens)


_NAME = r"^alter table \S+( \. \S+)?"
_LAYOUT = rf"{_NAME} alter (diststyle|distkey|sortkey|compound|encode)\b"
_ALTER_TABLE_FORMS = [
    (rf"^alter table {EXTERNAL_SCHEMA} \.", "ALTER TABLE on an external table: no transaction may"),
    (rf"{_NAME} append\b", "ALTER TABLE APPEND: it runs in no transaction block"),
    (r"\bif (not )?exists\b", "ALTER TABLE … IF [NOT] EXISTS: Redshift does not have it"),
    (r" add .* , add ", "ALTER TABLE: Redshift adds one column at a time"),
    (
        rf"{_NAME} add (constraint|primary|unique|foreign)\b",
        "ALTER TABLE ADD constraint: Redshift enforces none",
    ),
    (
        rf"{_NAME} add (?!.* default ).* not null\b",
        "ALTER TABLE ADD … NOT NULL: Redshift wants a default",
    ),
    (rf"{_NAME} (add (column )?|drop (column )?|rename (to|column) |owner to )\S+", ""),
    (rf"{_NAME} alter (column )?\S+ type (varchar|character varying)\b", ""),
    (_LAYOUT, ""),
]

_CREATES: list[tuple[str, Translation]] = [
    (r"create external schema", _create_external_schema),
    (
        r"create external table",
        _refused(
            "CREATE EXTERNAL TABLE: it runs in no transaction block; "
            "the Glue table is CloudFormation's"
        ),
    ),
    (
        r"create (or replace )?materialized view",
        _refused("CREATE MATERIALIZED VIEW: the laptop has none"),
    ),
    (r"create (temp |temporary |local temp |local temporary )?table", _create_table),
    (r"create (or replace )?view", _create_view),
    (r"create schema", _checked),
    (r"create user", _create_user),
    (r"create group", _checked),
    (r"create role \w+$", _checked),
    (
        r"create (or replace )?(function|library|model)",
        _refused("CREATE FUNCTION: the laptop vouches for procedures only"),
    ),
    (r"create (unique )?index", _refused("CREATE INDEX: Redshift has no indexes")),
    (
        r"create (database|extension|trigger|sequence|type|domain|rule|role|event|policy)",
        _refused(
            "CREATE of such an object: Redshift does not have it, or the product has no use for it"
        ),
    ),
]
_DROPS: list[tuple[str, Translation]] = [
    (r"drop (table|view|procedure|user|group|role)", _checked),
    (r"drop schema", _drop_schema),
]
_ALTERS: list[tuple[str, Translation]] = [
    (r"alter table", _alter_table),
    (r"alter user", _create_user),
    (r"alter database", _alter_database),
    (r"alter (group|schema|procedure|default privileges)", _checked),
]
_VERBS: dict[str, Translation] = {
    "select": _query,
    "with": _query,
    "insert": _checked,
    "update": _checked,
    "delete": _delete,
    "merge": _merge,
    "call": _checked,
    "lock": _lock,
    "create": _create,
    "drop": _drop,
    "alter": _alter,
    "grant": _access,
    "revoke": _access,
    "comment": _comment,
    "explain": _explain,
    "analyze": _checked,
    "set": _session,
    "reset": _session,
    "show": _session,
}
