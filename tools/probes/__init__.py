"""What tries the assumptions of docs/assumptions.md on a deployed stack, one module a subject."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

Probe = Callable[..., Any]

_PROBES: dict[str, Probe] = {}


def probe(function: Probe) -> Probe:
    """Have a function known as `module.function`, the name by which a row refers to it."""
    _PROBES[f"{function.__module__.rpartition('.')[2]}.{function.__name__}"] = function
    return function


def known() -> dict[str, Probe]:
    """Every probe by its name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(_PROBES)
