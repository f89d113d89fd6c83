"""SQL of datasets that use all that a spec can say: the dialect's gate and sqlfluff let it pass."""

from pathlib import Path

import pytest
from sqlfluff.core import FluffConfig, Linter

from local.dialect import split, translate
from tools.datasets.reading import Folder, read_folder
from tools.datasets.rendering import Rendering

ROOT = Path(__file__).parents[2]
CSV = """{type: csv, delimiter: ";", quote: "'", decimal_mark: ",", group_mark: ".",
         header: {aliases: {id: [Id, ident], note: [It's]}}, accepts: [[No, made_on]]}"""
SPEC = """\
description: All that a spec can say.
same_key: replace
freshness_hours: 24
ignore: ["*.bak"]
format: FORMAT
columns:
  - {name: id, type: integer, required: true, min: 1, max: 999999, STORED_bigint SOURCE}
  - {name: made_on, type: date, STORED_string FORMATTED min: "2020-01-01", max: "2039-12-31"}
  - {name: at, type: timestamp, STORED_string zone: Europe/Berlin}
  - {name: at_once, type: timestamp, STORED_string format: epoch_ms}
  - {name: amount, type: decimal, STORED_string precision: 12, scale: 3, min: -1000}
  - {name: weight, type: double, STORED_double min: 0, max: 1000}
  - {name: note, type: text, STORED_string max_length: 40, pattern: "[A-Z']+", null: ["", "it's"]}
  - {name: paid, type: boolean, STORED_string true: [ja], false: [nein]}
derived:
  day: {type: date, required: true, sql: cast(at as date)}
  size:
    {type: text, max_length: 8, pattern: "small|big", sql: "case when weight > 5 then 'big' end"}
  half: {type: double, min: 0, max: 500, sql: weight / 2}
dates: day
tables:
  everything: {description: "rows, it's all of them.", rows: all}
  dated: {rows: [id, day]}
  days:
    grain: [day, {kind_of_size: size}]
    measures:
      row_count: count
      late: {count_if: at > at_once}
      amount_total: {sum: amount}
      id_total: {sum: id}
      weight_total: {sum: weight}
      first_at: {min: at}
      last_note: {max: note}
    computed: {mean: "amount_total / nullif(row_count, 0)"}
  days_without_count:
    grain: [day]
    measures: {amount_sum: {sum: amount}}
"""


def folder_of(path: Path, form: str) -> Folder:
    """A dataset of this format."""
    is_stored = form in ("parquet", "orc")
    text = SPEC.replace("FORMAT\n", f"{CSV if form == 'csv' else f'{{type: {form}}}'}\n")
    for kind in ("bigint", "string", "double"):
        text = text.replace(f"STORED_{kind}", f"stored: {kind}," if is_stored else "")
    source = {"csv": "source: No", "jsonl": "source: order.head.No"}.get(form, "")
    text = text.replace("SOURCE", source).replace("FORMATTED", "format: D.M.YYYY,")
    folder = path / "features"
    folder.mkdir()
    (folder / "dataset.yaml").write_text(text, encoding="utf-8")
    return read_folder(folder)


@pytest.mark.parametrize("is_numbered", [False, True], ids=["named", "numbered"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "orc"])
def test_sql_passes_gate_and_style(tmp_path: Path, form: str, is_numbered: bool) -> None:
    files = Rendering(folder_of(tmp_path, form), is_numbered=is_numbered).files()
    linter = Linter(config=FluffConfig.from_path(str(ROOT / "sql")))
    for name, sql in files.items():
        for statement in split(sql):
            translate(statement)
        found = linter.lint_string(sql, fname=name).get_violations()
        assert [f"{name}:{each.line_no}: {each.desc()}" for each in found] == []
