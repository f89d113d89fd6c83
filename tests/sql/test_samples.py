"""Samples loaded as the datasets that `make dataset` makes of them: every row counts."""

import shutil
from dataclasses import replace
from pathlib import Path

import binaryornot
import pytest

from local.stack import Stack
from tests import datasets
from tests.faults.datasets import READINGS
from tests.sql.loading import Loading
from tools.datasets.drafting import Choices, draft
from tools.datasets.reading import read_folder
from tools.datasets.sampling import read_sample

SAMPLES = Path(__file__).parents[1] / "datasets/samples"
KINDS = ("1", "1.5", "word", "2026-11-24", "2026-11-24T10:00:00Z", "31.12.2026")
MADE = {
    "semicolons": 'datum;betrag;kunde\n31.12.2026;1.234,50;Müller\n1.1.2027;-12,00;"Meier; AG"\n',
    "zones": "at,n\n2026-11-24T10:00:00+01:00,1\n2026-11-24T11:30:00.250Z,2\n",
    "wide": "".join(
        f"{','.join(fields)}\n"
        for fields in (
            [f"Measured value {number}" for number in range(100)],
            [KINDS[number % len(KINDS)] for number in range(100)],
        )
    ),
}
FILES = [*sorted(SAMPLES.glob("*.csv")), Path(binaryornot.__file__).parent / "data/encodings.csv"]


@pytest.fixture
def samples(tmp_path: Path) -> dict[str, Path]:
    for path in FILES:
        shutil.copy(path, tmp_path / f"{path.stem}.csv")
    for name, text in MADE.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return {path.stem: path for path in tmp_path.glob("*.csv")}


@pytest.mark.long
@pytest.mark.parametrize("name", [*(path.stem for path in FILES), *MADE])
def test_every_row_of_a_clean_sample_counts(
    deployed_stack: Stack, samples: dict[str, Path], tmp_path: Path, name: str
) -> None:
    dataset = f"sample_{name}"
    sample = read_sample(samples[name])
    made = draft(dataset, sample, Choices(same_key="append"))
    folder = tmp_path / dataset
    folder.mkdir()
    (folder / "dataset.yaml").write_text(made.text)
    datasets.install_folder(deployed_stack, read_folder(folder))
    loading = Loading(deployed_stack, replace(READINGS, name=dataset))
    answer = loading.load(loading.version(1, body=samples[name].read_bytes()))
    assert (answer.status, answer.source_rows, answer.rejected_rows, answer.reject_reasons) == (
        "loaded", sample.rows, 0, ""
    )  # fmt: skip
    counted = loading.query(f"select count(*) from mart.{dataset}")
    loading.empty()
    assert counted == [(sample.rows,)]
