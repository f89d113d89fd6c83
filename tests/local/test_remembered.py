"""What the grammar found is kept between runs, and nothing wrong that is kept does harm."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.dialect import DialectError, gate, remembered, translate

LONG = f"select {', '.join(f'nvl(a{n}, 0) as a{n}' for n in range(20))} from etl.t"
WRONG = LONG.replace("from etl.t", "from from etl.t")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing is kept, and nothing known."""
    kept = tmp_path / "grammar"
    monkeypatch.setattr(remembered, "FOLDER", kept)
    _forget()
    yield kept
    _forget()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that were parsed."""
    statements: list[str] = []
    parse: Callable[[str], gate.Statement] = gate._parse_anew

    def parse_anew(sql: str) -> gate.Statement:
        statements.append(sql)
        return parse(sql)

    monkeypatch.setattr(gate, "_parse_anew", parse_anew)
    return statements


def _forget() -> None:
    gate._parse.cache_clear()
    translate.cache_clear()


def test_another_run_does_not_parse_again(parsed: list[str]) -> None:
    first = gate._parse(LONG)
    _forget()

    assert gate._parse(LONG) == first
    assert parsed == [LONG]


def test_short_statements_are_not_kept(parsed: list[str], folder: Path) -> None:
    translate("select 1")

    assert parsed == ["select 1"]
    assert not folder.exists()


def test_a_refusal_is_found_again(parsed: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(DialectError, match="not Redshift SQL"):
            translate(WRONG)
        _forget()

    assert parsed == [WRONG, WRONG]


def test_another_grammar_is_asked_again(parsed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    gate._parse(LONG)
    _forget()
    monkeypatch.setattr(gate, "_grammar", lambda: "another")
    gate._parse(LONG)

    assert parsed == [LONG, LONG]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"kind": "x"}', "\x00"])
def test_what_is_not_as_it_was_kept_is_found_again(
    parsed: list[str], folder: Path, text: str
) -> None:
    first = gate._parse(LONG)
    [file] = folder.iterdir()
    file.write_text(text)
    _forget()

    assert gate._parse(LONG) == first
    assert parsed == [LONG, LONG]


def test_a_folder_that_cannot_be_written_does_not_matter(parsed: list[str], folder: Path) -> None:
    folder.write_text("a file")
    gate._parse(LONG)

    assert parsed == [LONG]
