"""docs/security.md is about today's template, and nothing in it is left open."""

import pytest

from tests.security.grants import EXCEPTIONS, Statement, excused, roles, statements
from tests.security.page import PATH, read_callers, written

STATEMENTS = [statement for role in roles() for statement in statements(role)]
ASTERISKS = [statement for statement in STATEMENTS if "*" in statement.resources]
WIDE = {action for entry in EXCEPTIONS["wide"] for action in entry["actions"]}


def test_page_tells_what_the_template_grants() -> None:
    document = PATH.read_text()

    assert written(document, read_callers(document)) == document, "make security writes it anew"


def test_page_says_of_each_grant_who_uses_it_or_why_nobody_was_seen() -> None:
    callers = read_callers(PATH.read_text())
    unsaid = [
        (role, sid, action)
        for (role, sid, action), names in callers.items()
        if not names and not any(exception.covers(sid, action) for exception in excused())
    ]

    assert unsaid == []


@pytest.mark.parametrize("role", roles())
def test_statements_of_a_role_are_told_apart_by_their_names(role: str) -> None:
    names = [statement.sid for statement in statements(role)]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: f"{s.role}-{s.sid}")
def test_action_is_spelt_out(statement: Statement) -> None:
    assert not [action for action in statement.actions if "*" in action]


@pytest.mark.parametrize("statement", ASTERISKS, ids=lambda s: f"{s.role}-{s.sid}")
def test_any_resource_has_a_reason(statement: Statement) -> None:
    assert set(statement.actions) <= WIDE


def test_each_reason_for_any_resource_is_needed() -> None:
    assert {action for statement in ASTERISKS for action in statement.actions} == WIDE
