"""Preferences as lines of a file."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from outbox.errors import InvalidPreference
from outbox.queue.choice import Choice, check_source, refuse_undeclared
from outbox.queue.load_preferences import COLUMNS as _EVERY
from outbox.telling.moments import read_moment
from outbox.terminal import table_lines
from outbox.terminal.table_lines import Columns, Problem, copied, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

    from outbox.queue.declared import Declared
    from outbox.terminal.table_lines import Values

COLUMNS = Columns(_EVERY, needed=("channel", "recipient", "topic", "wanted"), optional=("channel", "topic"))
_WORDS = {"yes": True, "no": False, "true": True, "false": False}


def read(source: TextIO, defaults: Mapping[str, str], declared: Mapping[str, Declared]) -> Iterator[str | Problem]:
    """Yield each preference as a line of the COPY of `load_preferences`, or what is wrong with it."""
    for number, given in table_lines.read(source, COLUMNS, defaults):
        yield given if isinstance(given, Problem) else _checked(number, given, declared)


def _checked(number: int, values: Values, declared: Mapping[str, Declared]) -> str | Problem:
    channel, recipient, topic, wanted, source, updated = values
    try:
        choice = Choice.of({"channel": channel, "recipient": recipient, "topic": topic, "wanted": _wanted(wanted)})
        refuse_undeclared(choice, declared)
        check_source(source)
        since = None if updated is None else _past(_text(updated))
    except InvalidPreference as error:
        return Problem(number, str(error))
    # No control character passes the checks.
    return copied((choice.channel, choice.recipient, choice.topic, str(choice.wanted).lower(), source, since))


def _wanted(given: Any) -> bool:
    if isinstance(given, bool):
        return given
    if isinstance(given, str) and given.strip().lower() in _WORDS:
        return _WORDS[given.strip().lower()]
    raise InvalidPreference(
        "wanted", "is missing: yes or no" if given is None else "must be yes or no, or true or false"
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidPreference("updated_at", f"must be a text, not {type(value).__name__}")
    return value


@lru_cache
def _past(text: str) -> str:
    try:
        moment = read_moment(text)
    except ValueError as error:
        raise InvalidPreference("updated_at", str(error)) from None
    if moment > datetime.now(UTC):
        raise InvalidPreference("updated_at", "lies in the future: it is when they said so")
    return moment.isoformat()


def texts(row: tuple[Any, ...]) -> list[str | None]:
    """Return the values of the columns of a preference, as `read` reads them."""
    channel, recipient, topic, wanted, source, updated_at = row
    return [channel, recipient, topic, "yes" if wanted else "no", source, plain(updated_at)]
