from tests.faults.inject import Kind
from tests.faults.matrix import Cell, Outcome, all_cells
from tests.faults.report import BEGIN, END, PATH, read_table, written


def test_document_names_every_cell_and_no_other() -> None:
    assert read_table(PATH.read_text()).keys() == set(all_cells())


def test_what_is_written_is_read_again_and_the_rest_is_kept() -> None:
    outcomes = {
        Cell("load", "ReadTable", kind): Outcome(f"first {kind.name}", "a sweep", 1)
        for kind in Kind
    }

    document = written(f"before\n{BEGIN}\nold\n{END}\nafter\n", outcomes)

    assert document.startswith("before\n")
    assert document.endswith("\nafter\n")
    assert read_table(document) == {cell: outcome.first for cell, outcome in outcomes.items()}
