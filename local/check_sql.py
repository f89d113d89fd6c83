"""`python -m local.check_sql`: every statement of sql/ through the gate, without a warehouse.

A deployment to the laptop does the same as it applies them, one file after the other.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from apply_sql import core

from local.dialect import DialectError, translate
from tools.datasets.choosing import PROJECT

# Placeholders stand where their value is not looked at.
VALUES = {
    "Database": "dev",
    "GlueDatabase": "lake",
    "SpectrumRoleArn": "arn:aws:iam::000000000000:role/spectrum",
    "LoaderPasswordHash": "md5" + 32 * "0",
}


def refusals(folder: Path) -> Iterator[str]:
    """What Redshift, or the laptop's, would refuse of a folder's SQL, a line each.

    Raises core.SqlFileError for a file that cannot be read as statements.
    """
    files = core.read_folder(folder)
    for step in [*core.plan(files, VALUES, {}), *core.plan_deployment(files, VALUES)]:
        statements = [step.condition, *step.statements] if step.condition else step.statements
        for number, statement in enumerate(statements, start=1):
            try:
                translate(statement)
            except DialectError as error:
                yield f"{step.path}, statement {number} of {len(statements)}: {error}"


def main() -> int:
    """Print each refusal. The exit code is 1 where there is one."""
    try:
        found = list(refusals(PROJECT / "sql"))
    except core.SqlFileError as error:
        found = [str(error)]
    for refusal in found:
        print(refusal)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
