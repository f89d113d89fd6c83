"""CREATE PROCEDURE: its header, and its body statement by statement."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from local.dialect.column_types import whole_type
from local.dialect.expressions import rewrite
from local.dialect.gate import check
from local.dialect.semistructured import unnested
from local.dialect.statements import translate_expression, translate_statement
from local.dialect.tokens import (
    DialectError,
    Token,
    closing,
    depths,
    outline,
    render,
    separated,
    split,
    tokenize,
)

MAX_PARAMETERS = 32
_MODES = {"in", "inout", "out"}
_DEFINER = "security definer"
_HEADER = re.compile(
    r"create (or replace )?procedure .* as \$\$ language (plpgsql|'')"
    r"(?P<security> security (definer|invoker))?"
    # Redshift's grammar names one value. Temporary tables are found before it.
    r"(?P<path> set search_path (to|=) pg_catalog)?"
)
# Half of what Redshift keeps in pg_catalog is here.
# In the first schema texts compare as they do there.
_PATH = " set search_path = redshift_comparison, pg_catalog, redshift"


def create_procedure(tokens: Sequence[Token]) -> str:
    """The procedure for PostgreSQL. Raises DialectError that names procedure and statement."""
    opened = next((i for i, token in enumerate(tokens) if token.text == "("), None)
    if opened is None:
        raise DialectError("CREATE PROCEDURE: no parameter list")
    name = render(tokens[3 if tokens[1].word == "or" else 2 : opened]).removeprefix("procedure")
    name = name.strip()
    close = closing(tokens, opened)
    try:
        return _create_procedure(tokens, opened, close)
    except DialectError as error:
        raise DialectError(f"procedure {name}: {error}") from None


def _create_procedure(tokens: Sequence[Token], opened: int, close: int) -> str:
    text = outline(tokens)
    if "nonatomic" in text.split():
        raise DialectError("NONATOMIC: a failed load would report success")
    header = _HEADER.fullmatch(text)
    if header is None:
        raise DialectError(
            "CREATE PROCEDURE: the form vouched for is "
            "name(…) as $$ … $$ language plpgsql [security definer|invoker] "
            "[set search_path to pg_catalog]"
        )
    inputs: set[str] = set()
    parameters = [_parameter(part, inputs) for part in separated(tokens[opened + 1 : close], ",")]
    if len(parameters) > MAX_PARAMETERS:
        raise DialectError(f"{len(parameters)} parameters: Redshift takes {MAX_PARAMETERS}")
    security = header["security"] or ""
    body_text = next(token.text for token in tokens if token.kind == "body")
    delimiter = body_text[: body_text.index("$", 1) + 1]
    inner = body_text[len(delimiter) : -len(delimiter)]
    is_bound = security.strip() == _DEFINER or bool(header["path"])
    body = Body(tokenize(inner), inputs, is_bound).translate()
    head = rewrite(tokens[:opened])
    signature = f"{head}({', '.join(parameters)})"
    path = _PATH if header["path"] else ""
    return f"{signature} as $procedure${body}$procedure$ language plpgsql{security}{path}"


def _parameter(part: Sequence[Token], inputs: set[str]) -> str:
    text = outline(part)
    if re.search(r"\bdefault\b|:=|=", text):
        raise DialectError(f"parameter {text}: Redshift has no parameter defaults")
    rest = list(part)
    mode = "in"
    for at in (0, 1):
        if at < len(rest) and rest[at].word in _MODES:
            mode = rest.pop(at).word
            break
    if len(rest) < 2:
        raise DialectError(f"parameter {text}: neither named nor typed")
    if mode == "out":
        raise DialectError(f"parameter {text}: PostgreSQL calls OUT otherwise; use INOUT")
    if mode == "in":
        inputs.add(rest[0].name)
    return f"{mode} {rewrite(rest[:1])} {whole_type(rest[1:]).sql}"


_REFUSED_STATEMENTS = {
    "perform": "Redshift does not have it; use call, or select … into",
    "assert": "Redshift does not have it",
    "foreach": "Redshift has no arrays",
    "open": "cursors are not vouched for; use for … in select … loop",
    "fetch": "cursors are not vouched for; use for … in select … loop",
    "close": "cursors are not vouched for; use for … in select … loop",
    "move": "cursors are not vouched for; use for … in select … loop",
    "<<": "labels are not vouched for",
}
_HARMLESS_IN_HANDLER = {"raise", "if", "null", "get", "case"}
_VARIABLE = re.compile(r"[a-z_][\w$]*")
_TARGET = re.compile(r"[a-z_][\w$]*( \. [a-z_][\w$]*)?")


class Body:
    """The body of one procedure, read once from its first token to its last."""

    def __init__(self, tokens: Sequence[Token], inputs: Collection[str], is_bound: bool) -> None:
        self.tokens = tokens
        self.inputs = inputs
        self.is_bound = is_bound  # to its caller's transaction, on PostgreSQL
        self.at = 0
        self.out: list[str] = []
        self.depth = 0
        self.handler_writes: bool | None = None  # None outside the handler

    def translate(self) -> str:
        """The body for PostgreSQL. Raises DialectError."""
        self._block()
        if self.at < len(self.tokens):
            raise DialectError(
                f"text after the body's end: {render(self.tokens[self.at :])[:60]!r}"
            )
        return "".join(self.out)

    # ---- reading ----

    @property
    def word(self) -> str:
        """The next token, lower-cased; empty at the end."""
        if self.at >= len(self.tokens):
            return ""
        token = self.tokens[self.at]
        return token.word or token.text

    def _take(self, *expected: str) -> Token:
        """Copies the next token to the output as it stands."""
        if expected and self.word not in expected:
            raise DialectError(
                f"{' or '.join(expected)} expected, {self.word or 'the end'!r} found"
            )
        token = self.tokens[self.at]
        self.out.append(token.before + token.text)
        self.at += 1
        return token

    def _until(self, *ends: str) -> list[Token]:
        """The tokens before the first of `ends` outside brackets and CASE expressions."""
        cases = 0
        for index, token, depth in depths(self.tokens[self.at :]):
            text = token.word or token.text
            if depth == 0 and cases == 0 and text in ends:
                found = list(self.tokens[self.at : self.at + index])
                self.at += index
                return found
            cases += {"case": 1, "end": -1 if cases else 0}.get(text, 0)
        raise DialectError(f"{' or '.join(ends)} expected, the end found")

    def _emit(self, tokens: Sequence[Token], text: str) -> None:
        self.out.append((tokens[0].before if tokens else " ") + text)

    def _expression(self, *ends: str) -> None:
        tokens = self._until(*ends)
        self._emit(tokens, translate_expression(tokens))

    # ---- blocks ----

    def _block(self) -> None:
        self.depth += 1
        if self.word == "declare":
            self._take()
            while self.word != "begin":
                self._declaration()
        self._take("begin")
        self._statements("end", "exception")
        if self.word == "exception":
            self._handler()
        self._take("end")
        if self.word == ";" or self.depth > 1:
            self._take(";")
        self.depth -= 1

    def _declaration(self) -> None:
        tokens = self._until(";")
        text = outline(tokens)
        if re.search(r"\b(cursor|refcursor|alias)\b", text):
            raise DialectError(f"declare {text}: cursors and aliases are not vouched for")
        default = next(
            (i for i, t in enumerate(tokens) if t.word == "default" or t.text == ":="), None
        )
        if default is None and "=" in text.split():
            raise DialectError(f"declare {text}: write :=")
        declared = tokens[1:default]
        kept = " constant" if declared and declared[0].word == "constant" else ""
        declared = declared[1:] if kept else declared
        self._emit(tokens, rewrite(tokens[:1]) + kept + " " + _declared_type(declared))
        if default is not None:
            self.out.append(" := " + translate_expression(tokens[default + 1 :]))
        self._take(";")

    def _handler(self) -> None:
        """The outermost EXCEPTION: Redshift rolls back, runs it, commits, throws again."""
        if self.depth > 1:
            raise DialectError("EXCEPTION in an inner block: vouched for in the outermost only")
        self._take("exception")
        self._take("when")
        if self.word != "others":
            raise DialectError(f"WHEN {self.word.upper()}: Redshift has OTHERS only")
        self._take("others")
        self._take("then")
        starts, self.handler_writes = len(self.out), False
        self._statements("end", "when")
        if self.word == "when":
            raise DialectError("a second WHEN: Redshift has OTHERS only")
        if self.handler_writes and self.is_bound:
            raise DialectError(
                "EXCEPTION that runs SQL in a procedure with SECURITY DEFINER or SET: PostgreSQL "
                "cannot commit there as Redshift does"
            )
        if self.handler_writes:
            self.out.insert(starts, " rollback;")
            self.out.append(" commit;")
        self.out.append(" raise;")
        self.handler_writes = None

    def _statements(self, *ends: str) -> None:
        while self.word not in ends:
            if not self.word:
                raise DialectError(f"{' or '.join(ends)} expected, the end found")
            begins = self.at
            try:
                self._statement()
            except DialectError as error:
                raise _placed(error, self.tokens[begins : begins + 10]) from None

    # ---- statements ----

    def _statement(self) -> None:
        word = self.word
        if word in _REFUSED_STATEMENTS:
            raise DialectError(f"{word.upper()}: {_REFUSED_STATEMENTS[word]}")
        following = self.tokens[self.at + 1 : self.at + 4]
        is_assignment = any(t.text == ":=" for t in following[:1]) or (
            len(following) == 3 and following[0].text == "." and following[2].text == ":="
        )
        if is_assignment:
            self._assignment()
            return
        if self.handler_writes is False and word not in _HARMLESS_IN_HANDLER:
            self.handler_writes = True
        control = getattr(self, f"_{word}", None) if word in _CONTROLS else None
        if control is not None:
            control()
        else:
            self._sql()

    def _assignment(self) -> None:
        if self.tokens[self.at].name in self.inputs:
            raise DialectError(f"{self.word} := …: an IN parameter is constant; use a variable")
        while self._take().text != ":=":
            pass
        self._expression(";")
        self._take(";")

    def _if(self) -> None:
        self._take("if")
        self._expression("then")
        self._take("then")
        self._statements("elsif", "else", "end")
        while self.word == "elsif":
            self._take()
            self._expression("then")
            self._take("then")
            self._statements("elsif", "else", "end")
        if self.word == "else":
            self._take()
            self._statements("end")
        self._ending("if")

    def _case(self) -> None:
        self._take("case")
        if self.word != "when":
            self._expression("when")
        while self.word == "when":
            self._take()
            self._expression("then")
            self._take("then")
            self._statements("when", "else", "end")
        if self.word == "else":
            self._take()
            self._statements("end")
        self._ending("case")

    def _ending(self, kind: str) -> None:
        self._take("end")
        self._take(kind)
        self._take(";")

    def _loop(self) -> None:
        self._take("loop")
        self._statements("end")
        self._ending("loop")

    def _while(self) -> None:
        self._take("while")
        self._expression("loop")
        self._loop()

    def _for(self) -> None:
        self._take("for")
        while self._take().word != "in":
            pass
        if self.word == "reverse":
            self._take()
        if self.word in {"select", "with"}:
            tokens = self._until("loop")
            self._emit(tokens, translate_statement(tokens, in_procedure=True))
        elif self.word == "execute":
            raise DialectError("FOR … IN EXECUTE: dynamic SQL cannot be vouched for")
        else:
            self._expression("..")
            self._take("..")
            self._expression("loop")
        self._loop()

    def _begin(self) -> None:
        self._block()

    def _declare(self) -> None:
        self._block()

    def _exit(self) -> None:
        self._take("exit", "continue")
        if self.word != ";":
            self._take("when")
            self._expression(";")
        self._take(";")

    def _continue(self) -> None:
        self._exit()

    def _return(self) -> None:
        if self.handler_writes is not None:
            raise DialectError("RETURN in an exception handler: Redshift throws again, always")
        self._take("return")
        if self.word != ";":
            raise DialectError("RETURN with a value: a procedure answers by INOUT parameters")
        self._take(";")

    def _null(self) -> None:
        self._take("null")
        self._take(";")

    def _get(self) -> None:
        tokens = self._until(";")
        if not re.fullmatch(r"get diagnostics \w+ := row_count", outline(tokens)):
            raise DialectError("GET DIAGNOSTICS: Redshift has v := row_count only")
        self._emit(tokens, render(tokens))
        self._take(";")

    def _raise(self) -> None:
        tokens = self._until(";")
        _check_raise(tokens)
        self._emit(tokens, render(tokens))
        self._take(";")

    def _execute(self) -> None:
        tokens = self._until(";")
        parts = tokens[1:]
        into = next((i for i, token in enumerate(parts) if token.word == "into"), len(parts))
        text, rest = parts[:into], parts[into:]
        if rest:
            _check_targets(rest[1:], self.inputs)
        is_literal = len(text) == 1 and text[0].kind == "string"
        translated = _translate_literal(text[0]) if is_literal else _checked_concatenation(text)
        self._emit(tokens, "execute " + translated)
        self._emit([], render(rest))
        self._take(";")

    def _sql(self) -> None:
        tokens = self._until(";")
        self._emit(tokens, self._translate_sql(tokens))
        self._take(";")

    def _translate_sql(self, tokens: Sequence[Token]) -> str:
        if tokens[0].word not in {"select", "with"}:
            return translate_statement(tokens, in_procedure=True)
        into = next((i for i, t, depth in depths(tokens) if depth == 0 and t.word == "into"), None)
        if into is None:
            raise DialectError("SELECT without INTO: its rows would go nowhere")
        after = _after_targets(tokens, into + 1)
        _check_targets(tokens[into + 1 : after], self.inputs)
        check([*tokens[:into], *tokens[after:]])
        return rewrite(unnested(tokens))


_CONTROLS = {
    "if", "case", "loop", "while", "for", "begin", "declare", "exit", "continue", "return",
    "null", "get", "raise", "execute",
}  # fmt: skip


def _declared_type(tokens: Sequence[Token]) -> str:
    text = outline(tokens)
    if re.fullmatch(r"record|[\w.\" ]+ % type", text):
        return rewrite(tokens)
    not_null = " not null" if text.endswith(" not null") else ""
    return whole_type(tokens[:-2] if not_null else tokens).sql + not_null


def _check_raise(tokens: Sequence[Token]) -> None:
    levels = {"exception", "warning", "notice", "info", "log", "debug"}
    if len(tokens) < 3 or tokens[1].word not in levels or tokens[2].kind != "string":
        raise DialectError("RAISE: a level and a literal format are wanted")
    values = separated(tokens[4:], ",")
    if len(tokens) > 3 and tokens[3].text != ",":
        raise DialectError("RAISE: Redshift takes no options and no text after the format")
    for value in values:
        if not _VARIABLE.fullmatch(outline(value)):
            raise DialectError(f"RAISE … {render(value)}: Redshift takes simple variables only")
    places = tokens[2].text.replace("%%", "").count("%")
    if places != len(values):
        raise DialectError(f"RAISE: {places} places and {len(values)} values")


def _after_targets(tokens: Sequence[Token], at: int) -> int:
    """The index after the list of variables that starts at `at`."""
    while at + 1 < len(tokens) and tokens[at + 1].text in {",", "."}:
        at += 2
    return at + 1


def _check_targets(tokens: Sequence[Token], inputs: Collection[str]) -> None:
    for target in separated(tokens, ","):
        if not _TARGET.fullmatch(outline(target)) or target[0].word == "strict":
            raise DialectError(f"INTO {render(target)}: a variable is wanted")
        if target[0].name in inputs:
            raise DialectError(f"INTO {render(target)}: an IN parameter is constant")


def _translate_literal(token: Token) -> str:
    """The text of EXECUTE '…', gated as if it stood there."""
    return f"$execute${_translate_text(_literal_text(token))}$execute$"


# What stands for a name and for a value while the rest of the text is gated.
_SAMPLES = {"quote_ident": "sample_name", "quote_literal": "'sample'"}


def _checked_concatenation(tokens: Sequence[Token]) -> str:
    """EXECUTE of literals, quoted names and quoted values: whatever those are, it is one statement
    of one shape, and the gate looks at that. It must need no translation."""
    text = ""
    for part in separated(tokens, "||"):
        if len(part) == 1 and part[0].kind == "string":
            text += _literal_text(part[0])
        elif len(part) > 3 and part[0].word in _SAMPLES and closing(part, 1) == len(part) - 1:
            text += _SAMPLES[part[0].word]
        else:
            raise DialectError(
                "EXECUTE of an expression: what it will run cannot be vouched for; write static "
                "SQL, or join literals, quote_ident(…) and quote_literal(…) by ||"
            )
    translated = _translate_text(text)
    if translated.split() != text.split():
        raise DialectError(f"EXECUTE: {text!r} would have to be translated, and cannot be")
    return translate_expression(tokens)


def _literal_text(token: Token) -> str:
    text = token.text[1:-1].replace("''", "'")
    if "\\" in text or "$" in text:
        raise DialectError("EXECUTE: a backslash or $ in its text is not vouched for")
    return text


def _translate_text(text: str) -> str:
    statements = split(text)
    if len(statements) != 1:
        raise DialectError(f"EXECUTE: {len(statements)} statements where one is expected")
    tokens = tokenize(statements[0])
    if tokens[0].word == "call":
        raise DialectError("EXECUTE of a CALL: nobody could confirm that Redshift runs it")
    return translate_statement(tokens, in_procedure=True)


def _placed(error: DialectError, tokens: Sequence[Token]) -> DialectError:
    message = str(error)
    statement = next(iter(separated(tokens, ";")))
    if message.startswith("at "):
        return error
    return DialectError(f"at {' '.join(render(statement).split())!r}…: {message}")
