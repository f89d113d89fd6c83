"""The sweeper's package holds each module of start_loads that it needs."""

import re
from pathlib import Path

FUNCTIONS = Path(__file__).parents[3] / "functions"
IMPORTED = re.compile(r"^from start_loads(?:\.(\w+) import|( import \w+))", re.MULTILINE)


def imported(module: Path) -> set[str]:
    return {name for name, _ in IMPORTED.findall(module.read_text()) if name}


def test_package_holds_what_its_modules_import() -> None:
    recipe = (FUNCTIONS / "sweep" / "Makefile").read_text()
    copied = {
        path.stem: path
        for pattern in re.findall(r"\.\./start_loads/(\S+\.py)", recipe)
        for path in (FUNCTIONS / "start_loads").glob(pattern)
    }
    wanted = set().union(*map(imported, [*(FUNCTIONS / "sweep").glob("*.py"), *copied.values()]))

    assert {"core", "shown"} <= wanted <= set(copied)
