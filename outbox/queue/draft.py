"""What a caller asked to enqueue, checked and put into the text form that the statements take."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from outbox import email_fields
from outbox.addresses import check_email, one_form
from outbox.errors import IdempotencyConflict, InvalidNotification
from outbox.messages import PRIORITIES, Enqueued
from outbox.payloads import as_json
from outbox.zones import zone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FIELDS = (
    "channel",
    "recipient",
    "template",
    "payload",
    "priority",
    "run_at",
    "expires_at",
    "idempotency_key",
    "topic",
    "group_key",
    "locale",
    "headers",
    "ordering_key",
    "time_zone",
    "unless_read",
    "unless_sent",
)
_FIELDS = frozenset(FIELDS)
PAYLOAD_LIMIT = 262_144
HEADERS_LIMIT = 16_384
_FARTHEST = timedelta(days=36_500)
TEXT_LIMITS = dict.fromkeys(("template", "idempotency_key", "topic", "group_key", "ordering_key"), 255) | {"locale": 64}
RECIPIENT_LIMIT = 4_096

_CHANNEL_LIMIT = 63
_CHANNEL = re.compile(r"[a-z][a-z0-9_]*")
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Draft(NamedTuple):
    """A checked notification: every field as text, ready for the statement. Its repr hides the payload."""

    channel: str
    recipient: str
    template: str | None
    payload: str
    priority: str
    run_at: str | None
    expires_at: str | None
    idempotency_key: str | None
    topic: str | None
    group_key: str | None
    locale: str | None
    headers: str | None
    delay: str | None
    expires_in: str | None
    ordering_key: str | None
    time_zone: str | None
    unless_read: str | None
    unless_sent: str | None
    trace: str | None
    """The trace that it is enqueued in: nobody gives that."""

    @classmethod
    def of(cls, given: Mapping[str, Any], position: int | None = None, trace: str | None = None) -> Draft:
        """Check the arguments of an enqueue; `position` names the one of many in the error.

        Raises:
            InvalidNotification: naming the field, what was wrong, and what would be right.
        """
        try:
            return _checked(given, trace)
        except InvalidNotification as error:
            if position is None:
                raise
            raise InvalidNotification(f"[{position}].{error.field}", error.problem) from None

    def __repr__(self) -> str:
        """Show what it is about, but not what it says."""
        return f"Draft({self.channel!r}, {self.recipient!r}, template={self.template!r}, payload=…)"


_draft = partial(tuple.__new__, Draft)
_PLACES = {name: place for place, name in enumerate(Draft._fields)}
BLANK = {"payload": "{}", "priority": str(PRIORITIES["normal"])}
"""What a draft has where nothing is given; of what is not here, nothing."""
# Between the recipient and the trace, in the order of its fields.
_BLANK = [BLANK.get(name) for name in Draft._fields[2:-1]]


def _checked(given: Mapping[str, Any], trace: str | None) -> Draft:
    if not _FIELDS.issuperset(given):
        _refuse_unknown(given)
    channel = check_channel(given.get("channel"))
    row: list[Any] = [channel, check_recipient(channel, given.get("recipient")), *_BLANK, trace]
    if not CHECKS.keys().isdisjoint(given):
        for name, value in given.items():
            if (check := CHECKS.get(name)) is not None and value is not None:
                row[_PLACES[name]] = check(value)
    if (payload := given.get("payload")) is not None:
        row[_PLACES["payload"]] = check_payload(channel, payload, given.get("headers"))
    if "priority" in given:
        row[_PLACES["priority"]] = check_priority(given["priority"])
    if "run_at" in given or "expires_at" in given:
        _put_moments(row, given.get("run_at"), given.get("expires_at"))
    return _draft(row)


def _put_moments(row: list[Any], run_at: datetime | timedelta | None, expires_at: datetime | timedelta | None) -> None:
    row[_PLACES["run_at"]], row[_PLACES["delay"]] = check_moment("run_at", run_at)
    row[_PLACES["expires_at"]], row[_PLACES["expires_in"]] = check_moment("expires_at", expires_at)
    _refuse_expired(run_at, expires_at)


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in _FIELDS:
            raise InvalidNotification(str(name), f"is {no_field(str(name))}")


def no_field(name: str) -> str:
    """Return the end of a sentence about a name that is no field: which one it resembles, or all of them."""
    near = difflib.get_close_matches(name, FIELDS, 1)
    hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(FIELDS)}"
    return f"not a field of a notification; {hint}"


def check_channel(value: Any) -> str:
    """Return the name of a channel. Raises InvalidNotification: it is none."""
    if not isinstance(value, str) or len(value) > _CHANNEL_LIMIT or not _is_name(value):
        raise InvalidNotification(
            "channel",
            f"{shown(value)} is not a channel name: lower-case letters, digits and underscores, such as email",
        )
    return value


@lru_cache
def _is_name(value: str) -> bool:
    return _CHANNEL.fullmatch(value) is not None


def is_plain(value: str) -> bool:
    """Tell quickly that a text is ASCII without control characters, as almost all are."""
    return value.isascii() and value.isprintable()


def check_recipient(channel: str, value: Any) -> str:
    """Return a recipient of the channel, in the one form that is kept. Raises InvalidNotification: it cannot be one."""
    if value is None or value == "":
        raise InvalidNotification("recipient", "must be a text such as an address or a number, and there is none")
    if not isinstance(value, str):
        raise InvalidNotification(
            "recipient", f"must be a text such as an address or a number, not {type(value).__name__}"
        )
    if len(value) * 4 > RECIPIENT_LIMIT and _is_longer_than(RECIPIENT_LIMIT, value):
        raise InvalidNotification("recipient", f"is longer than {RECIPIENT_LIMIT} bytes")
    if not is_plain(value) and _UNSTORABLE.search(value):
        raise InvalidNotification("recipient", "contains a control character or half a surrogate pair")
    if channel == "email":
        try:
            check_email(value)
        except ValueError as error:
            raise InvalidNotification("recipient", str(error)) from None
    return one_form(channel, value)


def check_payload(channel: str, value: Any, headers: Any) -> str:
    """Return a payload as JSON; `headers` are the notification's. Raises InvalidNotification: it cannot be one."""
    text = as_json("payload", value, PAYLOAD_LIMIT)
    if channel == "email":
        email_fields.read(value, headers)
    return text


def _is_longer_than(limit: int, value: str) -> bool:
    return len(value[: limit + 1].encode(errors="surrogatepass")) > limit


def _text(field: str, value: Any) -> str:
    limit = TEXT_LIMITS[field]
    if not isinstance(value, str):
        raise InvalidNotification(field, f"must be a text, not {type(value).__name__}")
    if not 1 <= len(value) <= limit:
        raise InvalidNotification(field, f"must have 1 to {limit} characters, not {len(value)}")
    if not is_plain(value) and _UNSTORABLE.search(value):
        raise InvalidNotification(field, "contains a control character or half a surrogate pair")
    return value


def _time_zone(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidNotification("time_zone", f"must be a name such as Europe/Berlin, not {type(value).__name__}")
    try:
        zone(value)
    except ValueError as error:
        raise InvalidNotification("time_zone", str(error)) from None
    return value


def _identity(field: str, kind: str, value: Any) -> str:
    try:
        return str(value if isinstance(value, UUID) else UUID(value))
    except (ValueError, TypeError, AttributeError):
        raise InvalidNotification(field, f"{shown(value)} is not the id of {kind}, as enqueue() returns it") from None


def _headers(value: Any) -> str:
    return as_json("headers", value, HEADERS_LIMIT)


CHECKS: Mapping[str, Callable[[Any], str]] = {name: partial(_text, name) for name in TEXT_LIMITS} | {
    "headers": _headers,
    "time_zone": _time_zone,
    "unless_read": partial(_identity, "unless_read", "an in-app notification"),
    "unless_sent": partial(_identity, "unless_sent", "a notification"),
}


def check_priority(value: Any) -> str:
    """Return the number of a priority. Raises InvalidNotification: it is none."""
    if isinstance(value, str) and value in PRIORITIES:
        return str(PRIORITIES[value])
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 9:  # noqa: PLR2004 - the CHECK's bounds
        return str(int(value))  # an IntEnum may call itself otherwise
    raise InvalidNotification(
        "priority", f"{shown(value)} is none of {', '.join(PRIORITIES)}, nor a number from 0 (first) to 9 (last)"
    )


def check_moment(field: str, value: Any) -> tuple[str | None, str | None]:
    """Return (moment, interval from now), one of them set: the database's clock decides what now is.

    Raises:
        InvalidNotification: it is neither an aware datetime nor a timedelta, or so far away that nobody means it.
    """
    if value is None:
        return None, None
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise InvalidNotification(field, f"is {-value} in the past")
        if value > _FARTHEST:
            raise InvalidNotification(field, "is more than a hundred years away")
        # In seconds alone: PostgreSQL counts days by the session's time zone, where one may have 23 hours.
        return None, f"{value.days * 86_400 + value.seconds}.{value.microseconds:06} seconds"
    if not isinstance(value, datetime):
        raise InvalidNotification(
            field, f"must be an aware datetime or a timedelta from now, not {type(value).__name__}"
        )
    if value.utcoffset() is None:
        raise InvalidNotification(
            field, "is a datetime without a time zone: use datetime.now(UTC), or a timedelta from now"
        )
    if not 1970 <= value.year < 9000:  # noqa: PLR2004 - the CHECK's bounds
        raise InvalidNotification(field, f"is in the year {value.year}; 1970 to 8999 are taken")
    return value.isoformat(), None


def _refuse_expired(run_at: datetime | timedelta | None, expires_at: datetime | timedelta | None) -> None:
    if expires_at is None:
        return
    now = datetime.now(UTC)
    due, end = (now + moment if isinstance(moment, timedelta) else moment for moment in (run_at or now, expires_at))
    if end <= due:
        raise InvalidNotification("expires_at", "is not after run_at (or now), so it could never be sent")


def enqueued(draft: Draft, row: Sequence[Any]) -> Enqueued:
    """Return what the database said of a draft: (id, created, conflict, refused id), or the id alone of what is new.

    Raises:
        IdempotencyConflict: its key stands for other content.
    """
    if len(row) == 1:
        return Enqueued(_uuid(row[0]), created=True)
    identity, created, conflict, refused = row[:4]
    if conflict:
        raise IdempotencyConflict(draft.channel, draft.idempotency_key or "", _uuid(identity), _uuid(refused))
    return Enqueued(_uuid(identity), created)


def _uuid(value: Any) -> UUID:
    return value if type(value) is UUID else UUID(str(value))
