"""What follows from the specs is written, found stale, and taken away again."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools.datasets.__main__ import SCHEMA, main
from tools.datasets.resources import BEGIN, END

ROOT = Path(__file__).parents[3]
SPEC = """\
description: Every order.
same_key: append
freshness_hours: 24
format: {type: csv}
columns:
  - {name: id, type: integer, required: true}
tables:
  orders: {rows: all}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the datasets are written from and to."""
    shutil.copytree(ROOT / "sql/datasets", tmp_path / "sql/datasets")
    shutil.copytree(
        ROOT / "functions/start_loads",
        tmp_path / "functions/start_loads",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / "template.yaml", tmp_path)
    return tmp_path


def written(project: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """What the command answers, in this process."""
    monkeypatch.setattr(sys, "argv", ["datasets", "--project", str(project), *arguments])
    return main()


def texts(project: Path) -> dict[Path, str]:
    return {
        path.relative_to(project): path.read_text(encoding="utf-8")
        for path in project.rglob("*")
        if path.is_file() and path.suffix != ".parquet"
    }


def generated(project: Path) -> list[Path]:
    return sorted((project / "sql/datasets").rglob("*.sql"))


def add_orders(project: Path) -> Path:
    folder = project / "sql/datasets/orders"
    folder.mkdir()
    (folder / "dataset.yaml").write_text(SPEC, encoding="utf-8")
    return folder


def test_repository_is_as_its_specs_say(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(project, monkeypatch, "--check") == 0
    assert capsys.readouterr().out == ""


def test_command_ends_in_an_error_where_a_file_is_stale(project: Path) -> None:
    generated(project)[0].write_text("select 1;\n", encoding="utf-8")

    command = [sys.executable, "-m", "tools.datasets", "--project", str(project), "--check"]
    assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 1


def test_each_edit_of_a_generated_file_is_told_and_undone(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = texts(project)
    for path in [*generated(project), project / SCHEMA]:
        path.write_text(path.read_text(encoding="utf-8") + "\n-- by hand\n", encoding="utf-8")

        assert written(project, monkeypatch, "--check") == 1
        told = capsys.readouterr().out
        assert told == (
            f"{path.relative_to(project)}: is not what its dataset.yaml says; run make datasets\n"
        )
        written(project, monkeypatch)
        capsys.readouterr()

    assert texts(project) == before


def test_each_missing_generated_file_is_told_and_written(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = texts(project)
    for path in generated(project):
        path.unlink()

    assert written(project, monkeypatch, "--check") == 1
    assert written(project, monkeypatch) == 0
    assert texts(project) == before


def test_edit_of_the_templates_block_is_told_and_undone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = project / "template.yaml"
    before = template.read_text(encoding="utf-8")
    head, begin, block = before.partition(BEGIN)
    template.write_text(head + begin + block.replace("EXTERNAL_TABLE", "VIEW", 1), "utf-8")

    assert written(project, monkeypatch, "--check") == 1
    assert written(project, monkeypatch) == 0
    assert template.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("marker", [BEGIN, END])
def test_template_without_markers_is_refused(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    marker: str,
) -> None:
    template = project / "template.yaml"
    template.write_text(template.read_text(encoding="utf-8").replace(marker, "  # gone"), "utf-8")

    assert written(project, monkeypatch) == 1
    assert marker in capsys.readouterr().err


def test_added_folder_brings_its_files_and_resources_and_takes_them_along(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = texts(project)
    folder = add_orders(project)

    assert written(project, monkeypatch) == 0
    template = (project / "template.yaml").read_text(encoding="utf-8")
    assert "  OrdersTable:\n" in template
    assert "  OrdersStaleAlarm:\n" in template
    assert sorted(path.name for path in folder.iterdir()) == [
        "create_orders_by_file.sql",
        "dataset.yaml",
        "extend_orders_by_file.sql",
        "load_orders.sql",
        "orders.sql",
        "orders_lock.sql",
    ]

    shutil.rmtree(folder)
    assert written(project, monkeypatch, "--check") == 1
    assert written(project, monkeypatch) == 0
    assert texts(project) == before


def test_files_of_a_table_that_is_gone_go(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = add_orders(project)
    written(project, monkeypatch)
    spec = SPEC.replace("  orders:", "  all_orders:")
    (folder / "dataset.yaml").write_text(spec, encoding="utf-8")
    capsys.readouterr()

    assert written(project, monkeypatch) == 0
    assert "orders.sql: deleted; what it made stays in the warehouse" in capsys.readouterr().out
    assert not (folder / "orders.sql").exists()
    assert (folder / "all_orders.sql").exists()


def test_files_of_a_dataset_by_hand_are_left_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = add_orders(project)
    written(project, monkeypatch)
    (folder / "dataset.yaml").write_text(SPEC + "load: by_hand\n", encoding="utf-8")
    procedure = folder / "load_orders.sql"
    procedure.write_text(procedure.read_text(encoding="utf-8") + "\n-- by hand\n", encoding="utf-8")
    before = texts(project)

    assert written(project, monkeypatch, "--check") == 0
    assert written(project, monkeypatch) == 0
    assert texts(project) == before
    template = (project / "template.yaml").read_text(encoding="utf-8")
    assert "  OrdersTable:\n" in template
    assert "  OrdersStaleAlarm:\n" in template


def test_what_datasets_ignore_is_written_for_the_functions(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = project / "functions/start_loads/ignored_of_datasets.py"
    before = module.read_text(encoding="utf-8")
    spec = add_orders(project) / "dataset.yaml"
    spec.write_text(SPEC + """ignore: ["*.bak", "it's/"]\n""", encoding="utf-8")

    assert written(project, monkeypatch) == 0

    made: dict[str, dict[str, tuple[str, ...]]] = {}
    exec(module.read_text(encoding="utf-8"), made)
    assert made["IGNORED_OF_DATASETS"]["orders"] == ("*.bak", "it's/")
    shutil.rmtree(project / "sql/datasets/orders")
    assert written(project, monkeypatch) == 0
    assert module.read_text(encoding="utf-8") == before


def test_schema_knows_every_key(project: Path) -> None:
    schema = yaml.safe_load((project / SCHEMA).read_text(encoding="utf-8"))

    for name, model in {"Dataset": schema, **schema["$defs"]}.items():
        described = [key for key, value in model["properties"].items() if "description" in value]
        undescribed = set(model["properties"]) - set(described) - {"type"}
        assert not undescribed, f"{name}: {undescribed}"
