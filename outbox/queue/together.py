"""Many that were given, checked together: what is alike is looked at as one, for a third of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox import email_fields
from outbox.alike import all_as_json
from outbox.errors import InvalidNotification
from outbox.queue.draft import (
    BLANK,
    CHECKS,
    FIELDS,
    PAYLOAD_LIMIT,
    RECIPIENT_LIMIT,
    TEXT_LIMITS,
    Draft,
    check_channel,
    check_payload,
    check_priority,
    check_recipient,
    is_plain,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeAlias

    Given: TypeAlias = Mapping[str, Any]
    Column: TypeAlias = Sequence[str | None]

_TOGETHER = frozenset(FIELDS) - {"run_at", "expires_at"}  # of which each says something of the other
_WITH_A_GRAMMAR = ("email", "sms")  # the channels whose recipients have one


def columns(
    given: Sequence[Given], positions: Sequence[int], names: Sequence[str], used: set[str], trace: str | None
) -> Iterable[Column]:
    """Return the fields `names` of the drafts of those at `positions`, a column each; `used` are the fields of all.

    Raises:
        InvalidNotification: as Draft.of does, for the first that is wrong.
    """
    some = [given[position] for position in positions]
    if used <= _TOGETHER:
        try:
            return _checked(some, names, trace)
        except InvalidNotification:  # Draft.of says of which
            pass
    drafts = (Draft.of(one, position, trace) for one, position in zip(some, positions, strict=True))
    whole = dict(zip(Draft._fields, zip(*drafts, strict=True), strict=True))
    return [whole[name] for name in names]


def _checked(some: Sequence[Given], names: Sequence[str], trace: str | None) -> list[Column]:
    found: dict[str, list[Any]] = {name: [one.get(name) for one in some] for name in names}
    channels = found["channel"]
    each = set(channels) if {str}.issuperset(map(type, channels)) else channels
    kinds = set(map(check_channel, each))
    checked: dict[str, Column] = {"channel": channels, "trace": [trace] * len(some)}
    for name, column in found.items():
        if name == "recipient":
            checked[name] = _recipients(column, channels, kinds)
        elif name == "payload":
            checked[name] = _payloads(column, channels, kinds, found.get("headers"))
        elif name == "priority":
            checked[name] = [check_priority(one[name]) if name in one else BLANK[name] for one in some]
        elif name in CHECKS:
            checked[name] = _optional(name, column)
    return [checked[name] for name in names]


def _recipients(column: list[Any], channels: Sequence[str], kinds: set[str]) -> Column:
    if kinds.isdisjoint(_WITH_A_GRAMMAR) and _are_plain(column, RECIPIENT_LIMIT // 4):
        return column
    return list(map(check_recipient, channels, column))


def _optional(name: str, column: list[Any]) -> Column:
    there = [value for value in column if value is not None]
    if name in TEXT_LIMITS and _are_plain(there, TEXT_LIMITS[name]):
        return column
    check = CHECKS[name]
    return [None if value is None else check(value) for value in column]


def _are_plain(values: Sequence[Any], limit: int) -> bool:
    """Tell quickly that all are texts of 1 to `limit` characters, in ASCII and without control characters."""
    if not {str}.issuperset(map(type, values)) or max(map(len, values), default=0) > limit or "" in values:
        return False
    return is_plain("".join(values))


def _payloads(column: list[Any], channels: Sequence[str], kinds: set[str], headers: Sequence[Any] | None) -> Column:
    texts = all_as_json(column, PAYLOAD_LIMIT)
    if texts is None or ("email" in kinds and not email_fields.FIELDS.isdisjoint(column[0])):  # all have its keys
        beside = headers or [None] * len(column)
        return [
            BLANK["payload"] if payload is None else check_payload(channel, payload, said)
            for channel, payload, said in zip(channels, column, beside, strict=True)
        ]
    return texts
