"""A query whose rows are notifications, of a schedule or a fan-out: what it may return, and what goes with it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.errors import InvalidNotification
from outbox.queue.draft import FIELDS, Draft, no_field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.errors import InvalidFanOut, InvalidSchedule

    Refusal = type[InvalidFanOut | InvalidSchedule]

DEFAULTS = ("channel", "template", "payload", "priority", "topic", "group_key", "locale", "headers")
"""The fields that can be the same for each notification of a schedule. The others are the query's."""
_NO_TEXTS = {"payload", "headers", "priority"}
_LONGEST_QUERY = 65_536
_ENDS = " \t\r\n;"
# Not a statement that returns rows, not one alone, or one that writes.
_NOT_ONE_SELECT = {"42P11", "42601", "0A000"}
_NOBODY = "nobody@example.org"
_QUOTED = re.compile(r'"([^"]+)"')
_PLACES_SHOWN = 3


def tidy(query: str, refusal: Refusal) -> str:
    """Return the query without what ends a statement. Raises `refusal`: there is none, or it is too long."""
    query = query.strip(_ENDS)
    if not query or len(query) > _LONGEST_QUERY or "\0" in query:
        raise refusal("query", f"must be one SELECT of at most {_LONGEST_QUERY:,} characters, with no NUL in it")
    return query


class Finding(NamedTuple):
    """What the database found out about a query: its columns, or what is wrong with it, with the SQLSTATE."""

    columns: list[str] | None
    problem: str | None
    code: str | None


def refuse_query(query: str, found: Finding, defaults: Mapping[str, Any], refusal: Refusal) -> None:
    """Say what is wrong with a query, from what the database found out about it.

    Raises `refusal`: it is not one SELECT, returns what is no field of a notification, or lacks what must be.
    """
    names, problem = found.columns or [], found.problem
    for name in names:
        if name not in FIELDS:
            raise refusal("query", f"returns {name!r}, which is {no_field(name)}")
        if names.count(name) > 1:
            raise refusal("query", f"returns {name!r} twice")
    if found.columns is None and problem is not None:
        hint = (
            "; it must be one SELECT that returns recipient, and what else differs"
            if found.code in _NOT_ONE_SELECT
            else ""
        )
        raise refusal("query", f"{problem}{_where(query, problem)}{hint}")
    if "recipient" not in names:
        raise refusal("query", "returns no recipient: name a column so, as in SELECT email AS recipient")
    if "channel" not in names and "channel" not in defaults:
        raise refusal("channel", "is not given, and the query does not return it")
    if problem is not None:
        raise refusal("query", problem)


def _where(query: str, problem: str) -> str:
    """Return in which line and column the word is that PostgreSQL names, of which it says no place to a function."""
    named = _QUOTED.search(problem)
    if named is None:
        return ""
    word = re.escape(named[1])
    found = list(re.finditer(rf"(?<!\w){word}(?!\w)" if named[1][:1].isidentifier() else word, query, re.IGNORECASE))
    places = [_place(query, match.start()) for match in found[: _PLACES_SHOWN + 1]]
    return f" ({' or '.join(places)})" if 0 < len(places) <= _PLACES_SHOWN else ""


def _place(query: str, offset: int) -> str:
    before = query[:offset]
    return f"line {before.count(chr(10)) + 1}, column {offset - before.rfind(chr(10))}"


def check_defaults(given: Mapping[str, Any], allowed: Sequence[str], refusal: Refusal) -> dict[str, Any]:
    """Return what is the same for each notification, as JSON has it: each checked as that of a notification would be.

    A time from now stands under the names that a draft has for these, `delay` and `expires_in`. Raises `refusal`.
    """
    values = {name: value for name, value in given.items() if value is not None}
    for name in values:
        if name not in allowed:
            raise refusal(name, f"cannot be the same for each notification; these can: {', '.join(allowed)}")
    channel = values.get("channel", "any")
    try:
        draft = Draft.of({"recipient": _NOBODY} | values | {"channel": channel})._asdict()
    except InvalidNotification as error:
        raise refusal(error.field, error.problem) from None
    names = [*values, "delay", "expires_in"]
    return {
        name: json.loads(draft[name]) if name in _NO_TEXTS else draft[name] for name in names if draft[name] is not None
    }


def as_json(defaults: Mapping[str, Any]) -> str:
    """Return what is the same for each as the statements take it."""
    return json.dumps(defaults)
