"""The parameters of template.yaml, and whether a value may be given to one."""

import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]  # it has no types

TEMPLATE = Path(__file__).parents[1] / "template.yaml"


def fault(name: str, value: str) -> str:
    """What CloudFormation would refuse about a parameter that is given; "" for nothing."""
    declared = _declared()
    if name not in declared:
        close = get_close_matches(name, declared, n=1)
        return f"{name} is no parameter of the template" + (f": {close[0]}?" if close else ".")
    parameter = declared[name]
    allowed = [str(one) for one in parameter.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"{name} may be {', '.join(allowed)}, not {value}."
    if parameter["Type"] == "Number":
        return _number_fault(name, value, parameter)
    if not re.fullmatch(parameter.get("AllowedPattern", ".*"), value, re.DOTALL):
        return f"{name} may not be {value}. {parameter['ConstraintDescription']}"
    return ""


def _number_fault(name: str, value: str, parameter: dict[str, Any]) -> str:
    try:
        number = float(value)
    except ValueError:
        return f"{name} is a number, not {value}."
    least, most = parameter.get("MinValue", number), parameter.get("MaxValue", number)
    if not least <= number <= most:
        bounds = [f"at least {least}"] if "MinValue" in parameter else []
        bounds += [f"at most {most}"] if "MaxValue" in parameter else []
        return f"{name} is {' and '.join(bounds)}, not {value}."
    return ""


@cache
def _declared() -> dict[str, dict[str, Any]]:
    declared: dict[str, dict[str, Any]] = yaml_parse(TEMPLATE.read_text())["Parameters"]
    return declared
