"""How far what was enqueued is what a test expected: pure, and without a database."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from outbox.messages import PRIORITIES

if TYPE_CHECKING:
    from outbox.testing.outgoing import Outgoing

# How much a field tells of whether this is the one that was meant.
_WEIGHTS = {"channel": 4.0, "template": 4.0, "recipient": 3.0, "payload": 2.0, "headers": 2.0}
_CLOSE_ENOUGH = 1.0  # seconds between two times that are the same
_NOTHING = "nothing"


class Difference(NamedTuple):
    """One place where the two differ, such as `payload.items[2].price`."""

    place: str
    wanted: Any
    found: Any


class Compared(NamedTuple):
    """One notification beside what was expected; `distance` 0 is that it matches."""

    outgoing: Outgoing
    differences: tuple[Difference, ...]
    distance: float


class _Missing:
    def __repr__(self) -> str:
        return _NOTHING


MISSING = _Missing()
"""What is found where there is nothing."""


def compare(outgoing: Outgoing, wanted: Mapping[str, Any]) -> Compared:
    """Return how what was enqueued differs from what was wanted, by field."""
    differences: list[Difference] = []
    distance = 0.0
    for field, value in wanted.items():
        found = _differences(field, value, getattr(outgoing, field), outgoing)
        differences += found
        weight = _WEIGHTS.get(field, 1.0)
        distance += weight * sum(1.0 - 0.9 * _likeness(each.wanted, each.found) for each in found)
    return Compared(outgoing, tuple(differences), distance)


def _differences(field: str, wanted: Any, found: Any, outgoing: Outgoing) -> list[Difference]:
    if field == "priority":
        wanted = PRIORITIES.get(wanted, wanted) if isinstance(wanted, str) else wanted
    if field in {"run_at", "expires_at"} and isinstance(wanted, datetime | timedelta):
        moment = outgoing.created_at + wanted if isinstance(wanted, timedelta) else wanted
        near = found is not None and abs((found - moment).total_seconds()) <= _CLOSE_ENOUGH
        return [] if near else [Difference(field, moment, found)]
    return list(_contained(field, wanted, found))


def _contained(place: str, wanted: Any, found: Any) -> list[Difference]:
    """Return where `found` lacks what is wanted. An object may have more keys than that; a list has the same length."""
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return [Difference(place, dict(wanted), found)]
        return [
            difference
            for key, value in wanted.items()
            for difference in _contained(f"{place}.{key}", value, found.get(key, MISSING))
        ]
    if isinstance(wanted, list | tuple) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [each for number, pair in pairs for each in _contained(f"{place}[{number}]", *pair)]
    return [] if _is(wanted, found) else [Difference(place, wanted, found)]


def _is(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        return isinstance(found, str) and wanted.search(found) is not None
    if isinstance(wanted, Callable) and not isinstance(found, _Missing):  # type: ignore[arg-type]
        return bool(wanted(found))
    if isinstance(wanted, UUID) and isinstance(found, str):
        return str(wanted) == found
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    return bool(wanted == (list(found) if isinstance(wanted, list) and isinstance(found, tuple) else found))


def _likeness(wanted: Any, found: Any) -> float:
    """Return how alike two values are, from 0 to 1: a letter that is wrong is nearer than another word."""
    if isinstance(found, _Missing) or found is None:
        return 0.0
    return difflib.SequenceMatcher(None, str(wanted)[:200], str(found)[:200], autojunk=False).ratio()
