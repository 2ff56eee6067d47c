"""What a template wants of its payload, by annotated names: `name = "string"`, `nick = "string?"`.

What is found wrong is told by the places and the types of values, never by the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, TypeAlias

from outbox.spelling import nearest


class Misfit(NamedTuple):
    """What is wrong with one value: where it stands (`payload.order.items[0]`), and the end of a sentence about it."""

    path: str
    problem: str


Check: TypeAlias = Callable[[Any], Misfit | None]
"""Return the first thing that is wrong with a payload, if anything is."""

_Part: TypeAlias = Callable[[Any, str], Misfit | None]


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and _parses(date.fromisoformat, value)


def _is_datetime(value: Any) -> bool:
    return isinstance(value, str) and _parses(datetime.fromisoformat, value)


def _is_decimal(value: Any) -> bool:
    if isinstance(value, int | float):
        return not isinstance(value, bool)
    return isinstance(value, str) and _DECIMAL.fullmatch(value) is not None and _parses(Decimal, value)


def _parses(read: Callable[[str], Any], value: str) -> bool:
    try:
        read(value)
    except (ValueError, InvalidOperation):
        return False
    return True


_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_URL = re.compile(r"https?://[^\s/]\S*", re.IGNORECASE)
KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("a string", lambda value: isinstance(value, str)),
    "integer": ("an integer", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "number": ("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    "decimal": ('a number, or one as a string such as "3.50"', _is_decimal),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "date": ("a date such as 2030-01-31", _is_date),
    "datetime": ("a date and time such as 2030-01-31T09:00:00Z", _is_datetime),
    "url": ("a URL that begins with http:// or https://", lambda value: isinstance(value, str) and _is_url(value)),
    "list": ("a list", lambda value: isinstance(value, list | tuple)),
    "object": ("an object", lambda value: isinstance(value, Mapping)),
    "any": ("there", lambda _: True),
}
_JSON_TYPES = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", type(None): "null"}


def check_of(declared: Mapping[str, Any]) -> Check:
    """Return what checks payloads against the `[variables]` of a template.

    A table is an object with variables of its own, a list of one is a list of such. What is not declared is let be.

    Raises:
        ValueError: a type is none; says which, and what would be right.
    """
    part = _object("variables", declared)
    return lambda payload: part(payload, "payload")


def json_type(value: object) -> str:
    """Return what JSON calls a value."""
    if isinstance(value, Mapping):
        return "an object"
    return _JSON_TYPES.get(type(value), "a list" if isinstance(value, list | tuple) else type(value).__name__)


def _is_url(value: str) -> bool:
    return _URL.fullmatch(value) is not None


def _object(name: str, declared: Mapping[str, Any]) -> _Part:
    fields = [(key, *_declared(f"{name}.{key}", wanted)) for key, wanted in declared.items()]

    def check(value: Any, path: str) -> Misfit | None:
        if not isinstance(value, Mapping):
            return Misfit(path, f"must be an object, not {json_type(value)}")
        for key, description, is_optional, part in fields:
            inner = value.get(key)
            if inner is None:
                if is_optional:
                    continue
                problem = "must be {}, not null" if key in value else "is missing; it must be {}"
                return Misfit(f"{path}.{key}", problem.format(description))
            misfit = part(inner, f"{path}.{key}")
            if misfit is not None:
                return misfit
        return None

    return check


def _declared(name: str, wanted: Any) -> tuple[str, bool, _Part]:
    """Return how to describe what is wanted, whether it may be missing, and its check."""
    if isinstance(wanted, Mapping):
        return "an object", False, _object(name, wanted)
    if isinstance(wanted, list) and len(wanted) == 1:
        description, _, part = _declared(f"{name}[]", wanted[0])
        return f"a list, each item {description}", False, _list(part)
    kind = wanted.removesuffix("?") if isinstance(wanted, str) else ""
    if kind not in KINDS:
        raise ValueError(f'{name}: {wanted!r} is not a type such as "string", or "string?"; {nearest(kind, KINDS)}')
    description, fits = KINDS[kind]
    return description, wanted.endswith("?"), _plain(description, fits)


def _plain(description: str, fits: Callable[[Any], bool]) -> _Part:
    def check(value: Any, path: str) -> Misfit | None:
        return None if fits(value) else Misfit(path, f"must be {description}, not {_told(value)}")

    return check


def _told(value: Any) -> str:
    return "this string" if isinstance(value, str) else json_type(value)


def _list(part: _Part) -> _Part:
    def check(value: Any, path: str) -> Misfit | None:
        if not isinstance(value, list | tuple):
            return Misfit(path, f"must be a list, not {json_type(value)}")
        return next((bad for at, each in enumerate(value) if (bad := part(each, f"{path}[{at}]")) is not None), None)

    return check
