"""No column can be called as something that the load procedure has itself."""

import re
from pathlib import Path

import pytest

from tools.datasets.names import check_column_name, check_name, suggested

TEMPLATE = Path(__file__).parents[3] / "tools/datasets/templates/load.sql.j2"


def own_names() -> set[str]:
    """Its parameters and variables, and the columns that load_rows has of each row."""
    text = TEMPLATE.read_text(encoding="utf-8")
    signature = re.findall(r"^    (?:inout )?([pv]_[a-z_]+) ", text, re.MULTILINE)
    rows = text.partition("create temp table load_rows (")[2].partition("{%")[0]
    columns = re.findall(r"^        ([a-z_]+) ", rows, re.MULTILINE)
    # No column can have a name with __, whatever it is.
    return {*signature, *(column for column in columns if "__" not in column)}


@pytest.mark.parametrize("name", sorted(own_names()))
def test_name_of_the_load_procedure_is_taken(name: str) -> None:
    with pytest.raises(ValueError, match=f"call it {name}_, and give source: {name}"):
        check_column_name(name)
    assert check_name(suggested(name)) == f"{name}_"


def test_template_has_such_names() -> None:
    assert {"p_status", "v_blanks", "file_id", "line", "kind", "reject_reason"} <= own_names()
