"""A dataset is one folder: to add one, nothing else is edited."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NEEDED = ("delivery", "docs", "events", "examples", "functions", "local", "sql", "statemachine",
          "tests", "tools", ".github")  # fmt: skip
SAMPLE = "ordered_at,country,amount\n2026-11-24T10:00:00Z,DE,1.50\n2026-11-25T10:00:00Z,DE,2.50\n"
# The first by name of all, so that tools which take any take it.
NAME = "adverts"
# What reads the folders of sql/datasets, or what is written from them.
TESTS = ("tests/template/test_structure.py", "tests/template/test_glue_tables.py",
         "tests/template/test_watching.py", "tests/template/test_limits.py",
         "tests/template/test_names.py", "tests/template/test_docs.py",
         "tests/template/test_cost_page.py", "tests/template/test_delivery_roles.py",
         "tests/unit/datasets", "tests/unit/apply_sql", "tests/unit/start_loads")  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project with one dataset more, made of a sample."""
    for name in NEEDED:
        shutil.copytree(ROOT / name, tmp_path / name)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, tmp_path)
    (tmp_path / "sample.csv").write_text(SAMPLE)
    run(tmp_path, "-m", "tools.datasets.new", NAME, "sample.csv")
    return tmp_path


def run(folder: Path, *arguments: str) -> None:
    # Nothing of this process's: a laptop cloud in it leaves its settings there.
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{folder}{os.pathsep}{folder / 'functions'}",
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@pytest.mark.long
def test_nothing_but_the_folder_has_to_be_edited(copy: Path) -> None:
    run(copy, "-m", "tools.datasets", "--check")
    run(copy, "-m", "sqlfluff", "lint", "--disable-progress-bar", f"sql/datasets/{NAME}")
    run(
        copy, "-c", "import sys; from cfnlint.runner import main; sys.exit(main())", "template.yaml"
    )
    run(copy, "-m", "pytest", "-p", "no:cacheprovider", "-m", "not long", *TESTS)
