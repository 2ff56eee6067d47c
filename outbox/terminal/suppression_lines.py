"""Suppressions as lines of a file."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from outbox.errors import InvalidSuppression
from outbox.queue import load
from outbox.queue.entry import Entry, Key
from outbox.telling.moments import read_moment
from outbox.terminal import table_lines
from outbox.terminal.table_lines import Columns, Problem, copied, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

    from outbox.suppressions import Suppression
    from outbox.terminal.table_lines import Values

COLUMNS = Columns(load.COLUMNS, needed=("channel", "recipient", "reason"), optional=("channel", "reason"))


def read(source: TextIO, defaults: Mapping[str, str]) -> Iterator[str | Problem]:
    """Yield each suppression as a line of the COPY of `outbox.queue.load`, or what is wrong with it."""
    for number, given in table_lines.read(source, COLUMNS, defaults):
        yield given if isinstance(given, Problem) else _checked(number, given)


def _checked(number: int, values: Values) -> str | Problem:
    channel, recipient, topic, sender, reason, source, since, until = values
    try:
        key = Key.of(channel, recipient, topic, sender)
        entry = Entry.of(key, reason, source, None if until is None else _moment("until", _text("until", until)))
        since = None if since is None else _past(_text("created_at", since))
    except InvalidSuppression as error:
        return Problem(number, str(error))
    return copied((*key, entry.reason, entry.source, since, entry.until))  # no control character passes the checks


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidSuppression(field, f"must be a text, not {type(value).__name__}")
    return value


@lru_cache
def _past(text: str) -> str:
    moment = _moment("created_at", text)
    if moment > datetime.now(UTC):
        raise InvalidSuppression("created_at", "lies in the future: it is since when they are suppressed")
    return moment.isoformat()


def _moment(field: str, text: str) -> datetime:
    try:
        return read_moment(text)
    except ValueError as error:
        raise InvalidSuppression(field, str(error)) from None


def texts(one: Suppression) -> list[str | None]:
    """Return the values of a suppression's columns, as `read` reads them."""
    since, until = plain(one.created_at), plain(one.until) if one.until else None
    return [one.channel, one.recipient, one.topic, one.sender, one.reason, one.source, since, until]
