"""Write what follows from the datasets' specs: `make datasets`; with --check, say what is stale."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.datasets.ignoring import MODULE, ignored_of
from tools.datasets.reading import SPEC, SpecError, read_folders
from tools.datasets.rendering import MARK, Rendering
from tools.datasets.resources import MarkersMissingError, with_datasets
from tools.datasets.spec import Dataset

PROJECT = Path(__file__).parents[2]
SCHEMA = Path("sql/datasets/dataset.schema.json")


def wanted(project: Path) -> dict[Path, str]:
    """The text of every file that follows from the specs. Raises SpecError, MarkersMissingError."""
    folders = read_folders(project / "sql/datasets")
    template = project / "template.yaml"
    files = {
        project / SCHEMA: schema(),
        project / MODULE: ignored_of(folders),
        template: with_datasets(template.read_text(encoding="utf-8"), folders),
    }
    renderings = [Rendering(folder) for folder in folders]
    oversized = [
        f"{rendering.folder.path / SPEC}: {fault}"
        for rendering in renderings
        if (fault := rendering.size_fault())
    ]
    if oversized:
        raise SpecError("\n".join(oversized))
    for each in renderings:
        files |= {each.folder.path / name: text for name, text in each.files().items()}
    return files


def schema() -> str:
    """The JSON Schema of a dataset.yaml, for editors."""
    return json.dumps(Dataset.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def strays(project: Path, files: Mapping[Path, str]) -> list[Path]:
    """Files that were written from a spec and that no spec asks for any more.

    None is in the folder of a dataset by hand, whose files may have begun as written ones.
    """
    root = project / "sql/datasets"
    by_hand = {folder.path for folder in read_folders(root) if folder.dataset.load == "by_hand"}
    return [
        path
        for path in sorted(root.glob("*/*.sql"))
        if path not in files
        and path.parent not in by_hand
        and path.read_text(encoding="utf-8").startswith(MARK)
    ]


def stale(files: Mapping[Path, str]) -> list[Path]:
    """Files that are not as they should be."""
    return [
        path
        for path, text in files.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def check(project: Path, files: Mapping[Path, str]) -> int:
    """Say what `make datasets` would change; return the exit code."""
    changes = [*stale(files), *strays(project, files)]
    for path in changes:
        print(f"{path.relative_to(project)}: is not what its {SPEC} says; run make datasets")
    return 1 if changes else 0


def write(project: Path, files: Mapping[Path, str]) -> int:
    """Write what is stale, delete what is stray; return the exit code."""
    for path in stale(files):
        path.write_text(files[path], encoding="utf-8")
        print(f"{path.relative_to(project)}: written")
    for path in strays(project, files):
        path.unlink()
        print(f"{path.relative_to(project)}: deleted; what it made stays in the warehouse")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.datasets", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--project", type=Path, default=PROJECT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        files = wanted(arguments.project)
    except (SpecError, MarkersMissingError) as error:
        print(error, file=sys.stderr)
        return 1
    return (check if arguments.check else write)(arguments.project, files)


if __name__ == "__main__":
    sys.exit(main())
