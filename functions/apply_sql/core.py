"""What `ApplySqlFunction` decides: which SQL to apply, in which order. Pure, no AWS.

A folder of SQL files becomes a plan: `schema/` once each, by name; `deployment/` at each
deployment; everything else again whenever it changes, tables before procedures before views.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# The Data API's limits, less the one statement that records the file.
MAX_STATEMENTS = 39
MAX_STATEMENT_BYTES = 100_000

BOOTSTRAP_PATH = "schema/0001_schema_version.sql"

OBJECT_KINDS = ("table", "procedure", "view")

# What each placeholder's value may look like. Values become SQL text, so these patterns
# leave out whatever could end a literal or an identifier.
SUBSTITUTION_PATTERNS = {
    "GlueDatabase": re.compile(r"[a-z0-9_]{1,255}"),
    "LoaderPasswordHash": re.compile(r"md5[0-9a-f]{32}"),
    "SpectrumRoleArn": re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}"),
}

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?P<string> '(?:[^'\\]|\\.)*' )            # Redshift: a backslash escapes
    | (?P<identifier> "[^"]*" )
    | (?P<body> (?P<quote>\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$) .*? (?P=quote) )
    | (?P<end> ; )
    | (?P<open> ['"] | /\* | \$(?:[A-Za-z_][A-Za-z0-9_]*)?\$ )
    """,
    re.DOTALL | re.VERBOSE,
)
_CREATED = re.compile(
    r"\s*create\s+(?:or\s+replace\s+)?(?:materialized\s+)?(table|procedure|view)\b", re.IGNORECASE
)
_QUERY = re.compile(r"\s*select\b", re.IGNORECASE)


class SqlFileError(ValueError):
    """A file of sql/ that cannot be applied as it stands. The text starts with its path."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class SubstitutionError(ValueError):
    """A value that does not look like what it stands for, and so is not put into SQL."""


@dataclass(frozen=True)
class SqlFile:
    """One file of sql/. `path` is relative to it, with slashes; `text` still has placeholders."""

    path: str
    text: str

    @property
    def is_schema(self) -> bool:
        """Whether the file is applied once only."""
        return self.path.startswith("schema/")

    @property
    def is_deployment(self) -> bool:
        """Whether the file brings the warehouse up to the deployment that owns it now."""
        return self.path.startswith("deployment/")


@dataclass(frozen=True)
class Step:
    """One file to apply in one transaction, and the checksum that says afterwards it was.

    `statements` have no placeholders left and no semicolon at their end. `condition` is the query
    that has to give a row for them to be run; empty where they are in any case.
    """

    path: str
    checksum: str
    statements: tuple[str, ...]
    condition: str = ""

    @property
    def is_schema(self) -> bool:
        """Whether the file is applied once only."""
        return self.path.startswith("schema/")


def read_folder(folder: Path) -> list[SqlFile]:
    """Every `*.sql` below `folder`, by path. Raises SqlFileError where one is not UTF-8."""
    return [
        _read_file(file, file.relative_to(folder).as_posix())
        for file in sorted(folder.rglob("*.sql"))
    ]


def check_substitutions(values: Mapping[str, object]) -> dict[str, str]:
    """The values again, each found to be what its placeholder stands for.

    Raises SubstitutionError for an unknown name or a value that does not fit; the text
    leaves the value out, which might be a secret in the wrong place.
    """
    checked = {}
    for name, value in values.items():
        pattern = SUBSTITUTION_PATTERNS.get(name)
        if pattern is None:
            raise SubstitutionError(f"no placeholder is named {name}")
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise SubstitutionError(f"the value for ${{{name}}} must match {pattern.pattern}")
        checked[name] = value
    return checked


def password_hash(user: str, password: str) -> str:
    """Redshift's md5 verifier, which CREATE USER and ALTER USER take for a password.

    Source: Amazon Redshift, CREATE USER: 'md5' and md5(password + user name) in hex.
    """
    digest = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    return f"md5{digest}"


def render(file: SqlFile, values: Mapping[str, str]) -> str:
    """The file's text with its placeholders filled in. Raises SqlFileError for an unknown one."""

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise SqlFileError(file.path, f"unknown placeholder {match[0]}")
        return values[match[1]]

    return _PLACEHOLDER.sub(value_of, file.text)


def checksum(text: str) -> str:
    """64 hex digits that change with the text."""
    return hashlib.sha256(text.encode()).hexdigest()


def split(path: str, sql: str) -> list[str]:
    """The statements of a text, without the semicolons between them.

    A semicolon in quotes, comments or a $$ body ends nothing. What holds nothing but comments
    is no statement. Raises SqlFileError, with the line, for a quote or comment left open.
    """
    statements = []
    start = 0
    for token in _TOKEN.finditer(sql):
        if token["open"]:
            line = sql.count("\n", 0, token.start()) + 1
            raise SqlFileError(path, f"line {line}: {token['open']} is never closed")
        if token["end"]:
            statements.append(sql[start : token.start()].strip())
            start = token.end()
    statements.append(sql[start:].strip())
    return [statement for statement in statements if _without_comments(statement).strip()]


def object_kind(path: str, statements: Sequence[str]) -> str:
    """The kind of object that the first CREATE makes, one of OBJECT_KINDS.

    Raises SqlFileError where no statement creates one.
    """
    for statement in statements:
        if created := _CREATED.match(_without_comments(statement)):
            return created[1].lower()
    raise SqlFileError(path, "creates no table, procedure or view")


def plan(
    files: Sequence[SqlFile], values: Mapping[str, str], recorded: Mapping[str, str]
) -> list[Step]:
    """The steps that bring a warehouse to the state of `files`, in order.

    `recorded` has the checksum of each path that was applied. Every file is checked, also
    where it is not due. Raises SqlFileError.
    """
    schema = sorted((file for file in files if file.is_schema), key=lambda file: file.path)
    others = [file for file in files if not file.is_schema and not file.is_deployment]
    steps = [
        *_schema_steps(schema, values, recorded),
        *_in_order(_step(file, render(file, values), values) for file in others),
    ]
    return [step for step in steps if recorded.get(step.path) != step.checksum]


def plan_deployment(files: Sequence[SqlFile], values: Mapping[str, str]) -> list[Step]:
    """The steps of `deployment/`, by name: what any deployment sees to, whatever is recorded.

    A file whose first statement is a query is run where that gives a row. Raises SqlFileError.
    """
    chosen = sorted((file for file in files if file.is_deployment), key=lambda file: file.path)
    return [_conditional(_step(file, render(file, values), values)) for file in chosen]


def _conditional(step: Step) -> Step:
    first, *rest = step.statements
    if not _QUERY.match(_without_comments(first)):
        return step
    if not rest:
        raise SqlFileError(step.path, "holds a query and nothing to do where it gives a row")
    return replace(step, condition=first, statements=tuple(rest))


def _schema_steps(
    files: Sequence[SqlFile], values: Mapping[str, str], recorded: Mapping[str, str]
) -> Iterator[Step]:
    for file in files:
        step = _step(file, file.text, values)
        if recorded.get(file.path, step.checksum) != step.checksum:
            raise SqlFileError(
                file.path, "was edited after it had been applied; add a new file instead"
            )
        yield step


def _step(file: SqlFile, checked_text: str, values: Mapping[str, str]) -> Step:
    statements = split(file.path, render(file, values))
    _check_limits(file.path, statements)
    return Step(file.path, checksum(checked_text), tuple(statements))


def _in_order(steps: Iterator[Step]) -> list[Step]:
    def rank(step: Step) -> tuple[int, bool, str]:
        # Those of the datasets call the others when they are applied.
        kind = OBJECT_KINDS.index(object_kind(step.path, step.statements))
        return kind, step.path.startswith("datasets/"), step.path

    return sorted(steps, key=rank)


def _check_limits(path: str, statements: Sequence[str]) -> None:
    if not statements:
        raise SqlFileError(path, "holds no statement")
    if len(statements) > MAX_STATEMENTS:
        raise SqlFileError(path, f"{len(statements)} statements, {MAX_STATEMENTS} are the limit")
    for number, statement in enumerate(statements, start=1):
        size = len(statement.encode())
        if size > MAX_STATEMENT_BYTES:
            raise SqlFileError(
                path, f"statement {number} has {size} bytes, {MAX_STATEMENT_BYTES} are the limit"
            )


def _without_comments(sql: str) -> str:
    return _TOKEN.sub(lambda token: " " if token["comment"] else token[0], sql)


def _read_file(file: Path, path: str) -> SqlFile:
    try:
        return SqlFile(path, file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise SqlFileError(path, "is not UTF-8") from None
