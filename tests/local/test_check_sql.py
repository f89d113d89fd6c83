"""What the gate would refuse is found without a deployment."""

from pathlib import Path

import pytest
from apply_sql.core import SqlFileError

from local.check_sql import refusals

PROCEDURE = """
create or replace procedure etl.forget_loads() as $$
begin
    {verb} from etl.loads;
end;
$$ language plpgsql;
"""


def test_typo_in_a_body_is_found_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "procedures").mkdir()
    (tmp_path / "procedures" / "right.sql").write_text(PROCEDURE.format(verb="delete"))
    (tmp_path / "procedures" / "wrong.sql").write_text(PROCEDURE.format(verb="selct"))

    [refusal] = refusals(tmp_path)

    assert refusal.startswith("procedures/wrong.sql, statement 1 of 1: ")
    assert "SELCT" in refusal


def test_each_refused_statement_of_each_kind_of_file_is_told(tmp_path: Path) -> None:
    for folder, first in (("schema", "create table etl.a (b text[])"), ("deployment", "selct 1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0001_it.sql").write_text(f"{first}; vacuum etl.a; creat table b;")

    found = [refusal.split(": ")[0] for refusal in refusals(tmp_path)]

    assert {"schema/0001_it.sql, statement 1 of 3", "deployment/0001_it.sql, statement 1 of 3"} <= {
        *found
    }
    assert {"schema/0001_it.sql, statement 3 of 3", "deployment/0001_it.sql, statement 3 of 3"} <= {
        *found
    }


def test_file_that_holds_no_statements_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "broken.sql").write_text("create view v as select 'open")

    with pytest.raises(SqlFileError, match=r"broken\.sql"):
        list(refusals(tmp_path))
