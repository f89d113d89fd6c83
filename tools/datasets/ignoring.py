"""What datasets add to the keys that are no uploads, as a module of StartLoadsFunction."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.datasets.reading import Folder

MODULE = Path("functions/start_loads/ignored_of_datasets.py")
HEAD = '''\
"""What datasets ignore beside ignored.py: `ignore` in their specs. `make datasets` writes this."""

# fmt: off
IGNORED_OF_DATASETS: dict[str, tuple[str, ...]] = {'''


def ignored_of(folders: Sequence[Folder]) -> str:
    """The module's text: patterns by the name of their dataset."""
    return "\n".join([HEAD, *_lines(folders), "}", ""])


def _lines(folders: Sequence[Folder]) -> Iterator[str]:
    for folder in folders:
        if folder.dataset.ignore:
            yield f"    {folder.name!r}: ("
            yield from (f"        {pattern!r}," for pattern in folder.dataset.ignore)
            yield "    ),"
