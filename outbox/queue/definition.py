"""A schedule that is not added yet: what was asked for, checked, and put into the text form that statements take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from outbox.errors import InvalidSchedule
from outbox.occurrences import Occurrences
from outbox.queue.query import DEFAULTS, as_json, check_defaults, tidy
from outbox.zones import zone

if TYPE_CHECKING:
    from collections.abc import Mapping

MISSED = ("skip", "once", "all")
"""What is done about occurrences that nobody ran in time."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LONGEST_TIMEOUT = 86_400.0
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
        query = tidy(query, InvalidSchedule)
        try:
            zone(time_zone)
        except ValueError as error:
            raise InvalidSchedule("time_zone", str(error)) from None
        try:
            occurrences = Occurrences(cron, time_zone)
        except ValueError as error:
            raise InvalidSchedule("cron", str(error)) from None
        checked = as_json(check_defaults(defaults, DEFAULTS, InvalidSchedule))
        return cls(name, occurrences, cron.strip(), time_zone, query, missed, timeout, checked)


def read_moment(microseconds: str) -> datetime:
    """Return the moment that a statement gave as microseconds since 1970, in UTC."""
    return _EPOCH + timedelta(microseconds=int(microseconds))
