"""What tries the assumptions of docs/assumptions.md on a deployed stack, one module a subject.

A probe is a function that takes the bench and gives a Finding; docs/assumptions.md says which
assumption it answers. It may raise what the bench raises: it counts as not answered then.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from tools.verification.bench import Bench
from tools.verification.finding import Finding

Answering = Callable[[Bench], Finding]


@dataclass(frozen=True)
class Probe:
    """A probe, and whether it is the warehouse (or another service of AWS) that it asks."""

    answer: Answering
    asks_warehouse: bool


_PROBES: dict[str, Probe] = {}


def asks_warehouse(function: Answering) -> Answering:
    """A probe of Redshift: an answer by another database proves nothing."""
    return _known(function, asks_warehouse=True)


def asks_aws(function: Answering) -> Answering:
    """A probe of another service of AWS."""
    return _known(function, asks_warehouse=False)


def known() -> dict[str, Probe]:
    """Every probe by its name, `module.function`, module by module."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(_PROBES)


def _known(function: Answering, asks_warehouse: bool) -> Answering:
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    _PROBES[name] = Probe(function, asks_warehouse)
    return function
