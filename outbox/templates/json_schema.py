"""What a template wants of its payload, by a JSON Schema: `schema = "schema.json"`, with the extra `outbox[schema]`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from outbox.errors import clean
from outbox.templates.variables import Misfit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.templates.variables import Check

_LONGEST = 200


def check_of(text: str) -> Check:
    """Return what checks payloads against a JSON Schema, given as JSON, of any draft. It refers to nothing outside.

    Raises:
        ValueError: it is no JSON, or no schema; or the library is not installed.
    """
    try:
        import jsonschema_rs  # noqa: PLC0415 - an extra
    except ImportError:
        raise ValueError("a JSON Schema needs a library: install outbox[schema]") from None
    try:
        schema = json.loads(text)
        validator = jsonschema_rs.validator_for(schema, retriever=_refuse, validate_formats=True)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON Schema: {clean(str(error), _LONGEST)}") from None
    names = _names(schema)

    def check(payload: Any) -> Misfit | None:
        if validator.is_valid(payload if isinstance(payload, dict) else dict(payload)):
            return None
        error = next(iter(validator.iter_errors(payload if isinstance(payload, dict) else dict(payload))))
        return Misfit(_path(error.instance_path, names), _problem(schema, error))

    return check


def _refuse(uri: str) -> Any:
    raise ValueError(f"it refers to {uri}, which is not read: bring it in under $defs")


def _problem(schema: Any, error: Any) -> str:
    """Say what the schema wants, in its own words: those of the library quote the value."""
    keyword = str(error.schema_path[-1]) if error.schema_path else "schema"
    if error.kind.name == "required":
        return f"lacks {json.dumps(error.kind.property, ensure_ascii=False)}"
    wanted = schema
    for part in error.schema_path:
        try:
            wanted = wanted[part]
        except (LookupError, TypeError):
            return f"does not keep to the schema's {keyword}"
    shown = clean(json.dumps(wanted, ensure_ascii=False), _LONGEST)
    return f"does not keep to the schema's {keyword}: {shown}"


def _path(parts: Sequence[str | int], names: set[str]) -> str:
    """Return the place of a value. A key that the schema does not name is somebody's data, and is not shown."""
    shown = (f"[{part}]" if isinstance(part, int) else f".{part if part in names else '*'}" for part in parts)
    return "payload" + "".join(shown)


def _names(schema: Any) -> set[str]:
    """Return the names of all properties that a schema speaks of."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if isinstance(properties := each.get("properties"), dict):
                found |= properties.keys()
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return found
