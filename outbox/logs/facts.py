"""facts: what an event says, as flat keys and plain values, for programs that read the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from outbox import events
from outbox.errors import DeliveryError
from outbox.masks import without_recipients

if TYPE_CHECKING:
    from outbox.events import Attempted, Event
    from outbox.logs.flood import NotLogged

_NAMES = {"id": "notification_id"}
_DURATIONS = frozenset({"Claimed", "Settled", "ScheduleRan"})
_PLAIN = (str, int, float, type(None))


def facts(event: Event | NotLogged) -> dict[str, Any]:
    """Return the keys that a line of JSON has for an event. What does not apply is left out."""
    if isinstance(event, events.Attempted):
        return _of_attempt(event)
    said: dict[str, Any] = {}
    kind: Any = type(event)
    for name, key in _keys(kind):
        value = getattr(event, name)
        if isinstance(value, DeliveryError):
            said |= _of_failure(value.name, value.code, value.detail)
        elif value is not None:
            said[key] = without_recipients(value) if name == "problem" else _plain(value)
    return said


def _of_attempt(event: Attempted) -> dict[str, Any]:
    outcome = event.outcome
    said: dict[str, Any] = {
        "notification_id": str(event.id),
        "channel": event.channel,
        "attempt": event.attempt,
        "outcome": outcome.name,
        "duration": round(event.seconds, 6),
        "waited": round(event.waited, 3),
    }
    if outcome.provider is not None:
        said["provider"] = outcome.provider
    if outcome.failure is not None:
        said |= _of_failure(outcome.failure.error_class, outcome.failure.code, outcome.failure.detail)
    if outcome.reason is not None:
        said["reason"] = outcome.reason
    if outcome.delay is not None:
        said["next_in"] = round(outcome.delay, 3)
    if outcome.provider_message_id is not None:
        said["provider_message_id"] = outcome.provider_message_id
    if event.recipient is not None:
        said["recipient"] = event.recipient
    if event.trace is not None:
        said["trace_id"] = event.trace
    return said


def _of_failure(name: str, code: str | None, detail: str) -> dict[str, Any]:
    said = {"class": name, "detail": without_recipients(detail)}
    return said if code is None else said | {"code": code}


@cache
def _keys(kind: Any) -> tuple[tuple[str, str], ...]:
    names = [entry.name for entry in fields(kind) if entry.name != "defect"]
    took = _NAMES | ({"seconds": "duration"} if kind.__name__ in _DURATIONS else {})
    return tuple((name, took.get(name, name)) for name in names)


def _plain(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else str(value)
