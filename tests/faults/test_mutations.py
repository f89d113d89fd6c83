"""The list of mutations is about today's code, and docs/faults.md shows it."""

import shutil
from pathlib import Path

import pytest

from tests.faults.mutations import BEGIN, DOCUMENT, END, MUTATIONS, PROJECT, Mutation, table


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_mutation_fits_the_code(mutation: Mutation, tmp_path: Path) -> None:
    copy = tmp_path / mutation.path
    copy.parent.mkdir(parents=True)
    shutil.copyfile(PROJECT / mutation.path, copy)

    mutation.apply(tmp_path)

    assert copy.read_text() != (PROJECT / mutation.path).read_text()
    path, _, name = mutation.test.partition("::")
    assert f"def {name}(" in (PROJECT / path).read_text()


def test_document_shows_the_list() -> None:
    _, _, rest = DOCUMENT.read_text().partition(BEGIN)

    assert rest.partition(END)[0].strip() == table()
