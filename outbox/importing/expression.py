"""Texts with places in them, `{email}` or `{order.customer.email}`, that are filled from a task's arguments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from outbox.importing.source import CannotCarry

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACE = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"\$?[A-Za-z_][\w-]*(?:\.[\w-]+)*")
OWN = frozenset(("$id", "$task", "$queue"))
"""Places that stand for the row itself: its id at the source, its task, its queue."""


def check(text: str) -> str:
    """Return the text. Raises ValueError: a place in it is none."""
    rest = _PLACE.sub("", text)
    if "{" in rest or "}" in rest:
        raise ValueError("has a brace without its other half")
    for place in _PLACE.findall(text):
        if not _PATH.fullmatch(place) or (place.startswith("$") and place not in OWN):
            known = ", ".join(sorted(OWN))
            raise ValueError(f"{{{place}}} names no argument: write {{email}}, {{order.email}}, or one of {known}")
    return text


def fill(field: str, text: str, arguments: Mapping[str, Any], own: Mapping[str, str]) -> str:
    """Return the text with each place filled.

    Raises:
        CannotCarry: an argument is missing, or is neither a text nor a whole number.
    """
    return _PLACE.sub(lambda found: own.get(found[1]) or _value(field, found[1], arguments), text)


def _value(field: str, path: str, arguments: Mapping[str, Any]) -> str:
    value: Any = arguments
    for step in path.split("."):
        if not isinstance(value, dict) or step not in value:
            raise CannotCarry(f"{field}: there is no argument {path}")
        value = value[step]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise CannotCarry(f"{field}: the argument {path} is {_kind(value)}, where a text or a whole number is needed")
    return str(value)


def _kind(value: object) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"
