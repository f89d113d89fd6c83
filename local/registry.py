"""CloudFormation's registry: the schema that it holds a resource's resolved properties against.

Linters see intrinsic functions where values will be, and pass them. The schemas are those that
cfn-lint carries (data/schemas/providers), which it has from AWS.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no types
from jsonschema.validators import extend  # type: ignore[import-untyped]  # likewise

SCHEMAS = Path("data", "schemas", "providers", "us_east_1")
SCALARS = {"string", "integer", "number", "boolean"}
Schema = dict[str, Any]


def mismatches(kind: str, properties: dict[str, Any]) -> Iterator[str]:
    """Where the properties do not match the type's schema, in CloudFormation's words."""
    validator = _validator(kind)
    if validator is None:
        return
    for error in validator.iter_errors(properties):
        path = "/".join(["#", *map(str, error.absolute_path)])
        yield f"{path}: failed validation constraint for keyword [{error.validator}]"


@cache
def _validator(kind: str) -> Any:
    # Found, not imported: the linter takes a second.
    linter = find_spec("cfnlint")
    assert linter is not None
    assert linter.origin is not None
    path = Path(linter.origin).parent / SCHEMAS / f"{kind.lower().replace('::', '-')}.json"
    return _Validator(json.loads(path.read_text())) if path.exists() else None


def _type(_validator: Any, types: Any, value: Any, _schema: Schema) -> Iterator[Any]:
    """CloudFormation converts scalars: a parameter of type Number is text until then."""
    wanted = set(types if isinstance(types, list) else [types])
    match value:
        case dict():
            fits = "object" in wanted
        case list():
            fits = "array" in wanted
        case _:
            fits = any(_converts(value, one) for one in wanted & SCALARS)
    if not fits:
        yield jsonschema.ValidationError("")


def _converts(value: Any, scalar: str) -> bool:
    match scalar:
        case "boolean":
            return str(value).lower() in ("true", "false")
        case "string":
            return True
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return scalar == "number" or number.is_integer()


def _one_of_values(_validator: Any, values: Any, value: Any, _schema: Schema) -> Iterator[Any]:
    if str(value) not in map(str, values):
        yield jsonschema.ValidationError("")


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Schema) -> Iterator[Any]:
    """Java's expressions; what Python cannot read of them is passed over."""
    with suppress(re.error):
        if not re.search(pattern, str(value)):
            yield jsonschema.ValidationError("")


def _minimum(_validator: Any, least: float, value: Any, _schema: Schema) -> Iterator[Any]:
    if _converts(value, "number") and float(value) < least:
        yield jsonschema.ValidationError("")


def _maximum(_validator: Any, most: float, value: Any, _schema: Schema) -> Iterator[Any]:
    if _converts(value, "number") and float(value) > most:
        yield jsonschema.ValidationError("")


_Validator = extend(
    jsonschema.Draft7Validator,
    {
        "type": _type,
        "enum": _one_of_values,
        "pattern": _pattern,
        "minimum": _minimum,
        "maximum": _maximum,
    },
)
