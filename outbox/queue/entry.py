"""A suppression that somebody asked for, checked and put into the text form that the statements take."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.errors import InvalidNotification, InvalidSuppression
from outbox.queue.draft import check_channel, check_moment, check_recipient
from outbox.reasons import check_reason

if TYPE_CHECKING:
    from typing import TypeAlias

    Named: TypeAlias = dict[str, str | list[str | None] | None]

_LONGEST_RECIPIENT = 2_000  # bytes: a b-tree takes no more than 2,704
_LONGEST = {"topic": 255, "sender": 255, "source": 100}


class Key(NamedTuple):
    """Which suppression: whom it is about, on which channel; about one topic, or from one sender of ours, only."""

    channel: str
    recipient: str
    topic: str | None = None
    sender: str | None = None

    @classmethod
    def of(cls, channel: Any, recipient: Any, topic: Any, sender: Any) -> Key:
        """Check what was given.

        Raises:
            InvalidSuppression: naming the argument, what is wrong, and what would be right.
        """
        try:
            channel = check_channel(channel)
            recipient = check_recipient(channel, recipient)
        except InvalidNotification as error:
            raise InvalidSuppression(error.field, error.problem) from None
        if len(recipient) * 4 > _LONGEST_RECIPIENT and len(recipient.encode()) > _LONGEST_RECIPIENT:
            raise InvalidSuppression("recipient", f"is longer than {_LONGEST_RECIPIENT:,} bytes")
        return cls(channel, recipient, _text("topic", topic), _text("sender", sender))

    def parameters(self) -> Named:
        """Return the statements' parameters by name."""
        return {"channel": self.channel, "recipient": self.recipient, "topic": self.topic, "sender": self.sender}

    def __repr__(self) -> str:
        """Show what it is about, but not whom."""
        return f"Key({self.channel!r}, …, topic={self.topic!r}, sender={self.sender!r})"


class Entry(NamedTuple):
    """A suppression with its reason; `until` a moment, or for as long as `lasting`, or for good."""

    key: Key
    reason: str
    source: str
    until: str | None = None
    lasting: str | None = None

    @classmethod
    def of(cls, key: Key, reason: Any, source: Any, until: Any = None) -> Entry:
        """Check what was given; raises as `Key.of`."""
        moment, lasting = _end(until) if until is not None else (None, None)
        return cls(key, _reason(reason), _text("source", source) or "manual", moment, lasting)

    def parameters(self) -> Named:
        """Return the statements' parameters by name."""
        own = {"reason": self.reason, "source": self.source, "until": self.until, "lasting": self.lasting}
        return {**self.key.parameters(), **own}


def _text(field: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidSuppression(field, f"must be a text, not {type(value).__name__}")
    if len(value) > _LONGEST[field]:
        raise InvalidSuppression(field, f"must have at most {_LONGEST[field]} characters, not {len(value)}")
    if not value.isprintable():
        raise InvalidSuppression(field, "contains a control character or half a surrogate pair")
    return value


_check_word = lru_cache(check_reason)


def _reason(value: Any) -> str:
    try:
        # A cache raises TypeError for what is not hashable, such as a list that a file of JSON has.
        return _check_word(value) if isinstance(value, str) else check_reason(value)
    except ValueError as error:
        raise InvalidSuppression("reason", str(error)) from None


def _end(until: Any) -> tuple[str | None, str | None]:
    try:
        moment, lasting = check_moment("until", until)
    except InvalidNotification as error:
        raise InvalidSuppression(error.field, error.problem) from None
    if not until if lasting else until <= datetime.now(UTC):
        raise InvalidSuppression("until", "lies in the past: leave it out for good, or give a moment to come")
    return moment, lasting
