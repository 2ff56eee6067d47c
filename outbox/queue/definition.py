"""A schedule that is not added yet: what was asked for, checked, and put into the text form that statements take."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from outbox.errors import InvalidNotification, InvalidSchedule
from outbox.occurrences import Occurrences
from outbox.queue.draft import FIELDS, Draft, no_field
from outbox.zones import zone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MISSED = ("skip", "once", "all")
"""What is done about occurrences that nobody ran in time."""
DEFAULTS = ("channel", "template", "payload", "priority", "topic", "group_key", "locale", "headers")
"""The fields that can be the same for each notification of a schedule. The others are the query's."""
_NO_TEXTS = {"payload", "headers", "priority"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LONGEST_QUERY = 65_536
_LONGEST_TIMEOUT = 86_400.0
_ENDS = " \t\r\n;"
# Not a statement that returns rows, not one alone, or one that writes.
_NOT_ONE_SELECT = {"42P11", "42601", "0A000"}
_NOBODY = "nobody@example.org"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Definition:
    """A checked schedule, but for what only the database can say of its query. `timeout` is in seconds."""

    name: str
    occurrences: Occurrences
    cron: str
    time_zone: str
    query: str
    missed: str
    timeout: float
    defaults: str
    """JSON."""

    @classmethod
    def of(
        cls,
        name: str,
        cron: str,
        query: str,
        *,
        time_zone: str,
        missed: str,
        timeout: float,
        defaults: Mapping[str, Any],
    ) -> Definition:
        """Check what was given.

        Raises:
            InvalidSchedule: naming the argument, what was wrong, and what would be right.
        """
        if not _NAME.fullmatch(name):
            raise InvalidSchedule(
                "name", f"{name!r} is not a name: letters, digits, _ . and -, at most 63, such as weekly-digest"
            )
        if missed not in MISSED:
            raise InvalidSchedule("missed", f"{missed!r} is none of {', '.join(MISSED)}")
        if not 0.001 <= timeout <= _LONGEST_TIMEOUT:  # noqa: PLR2004 - the CHECK's bounds
            raise InvalidSchedule("timeout", f"{timeout:g} s is not between a millisecond and a day")
        query = query.strip(_ENDS)
        if not query or len(query) > _LONGEST_QUERY or "\0" in query:
            raise InvalidSchedule(
                "query", f"must be one SELECT of at most {_LONGEST_QUERY:,} characters, with no NUL in it"
            )
        try:
            zone(time_zone)
        except ValueError as error:
            raise InvalidSchedule("time_zone", str(error)) from None
        try:
            occurrences = Occurrences(cron, time_zone)
        except ValueError as error:
            raise InvalidSchedule("cron", str(error)) from None
        return cls(name, occurrences, cron.strip(), time_zone, query, missed, timeout, _checked_defaults(defaults))


def refuse_query(columns: Sequence[str] | None, defaults: str, problem: str | None, code: str | None) -> None:
    """Say what is wrong with a query, from what the database found out about it.

    Raises:
        InvalidSchedule: it is not one SELECT, returns what is no field of a notification, or lacks what must be.
    """
    names = list(columns or ())
    for name in names:
        if name not in FIELDS:
            raise InvalidSchedule("query", f"returns {name!r}, which is {no_field(name)}")
        if names.count(name) > 1:
            raise InvalidSchedule("query", f"returns {name!r} twice")
    if columns is None and problem is not None:
        hint = (
            "; it must be one SELECT that returns recipient, and what else differs" if code in _NOT_ONE_SELECT else ""
        )
        raise InvalidSchedule("query", f"{problem}{hint}")
    if "recipient" not in names:
        raise InvalidSchedule("query", "returns no recipient: name a column so, as in SELECT email AS recipient")
    if "channel" not in names and "channel" not in json.loads(defaults):
        raise InvalidSchedule("channel", "is not given, and the query does not return it")
    if problem is not None:
        raise InvalidSchedule("query", problem)


def _checked_defaults(given: Mapping[str, Any]) -> str:
    """Return the defaults as JSON: each checked as that of a notification would be."""
    values = {name: value for name, value in given.items() if value is not None}
    for name in values:
        if name not in DEFAULTS:
            raise InvalidSchedule(name, f"cannot be the same for each notification; these can: {', '.join(DEFAULTS)}")
    channel = values.get("channel", "any")
    try:
        draft = Draft.of({"recipient": _NOBODY} | values | {"channel": channel})
    except InvalidNotification as error:
        raise InvalidSchedule(error.field, error.problem) from None
    checked = draft._asdict()
    return json.dumps({name: json.loads(checked[name]) if name in _NO_TEXTS else checked[name] for name in values})


def read_moment(microseconds: str) -> datetime:
    """Return the moment that a statement gave as microseconds since 1970, in UTC."""
    return _EPOCH + timedelta(microseconds=int(microseconds))
