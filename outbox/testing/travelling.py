"""travel: have so much time go by in a test's transaction, so that what is due later is due.

What the transaction has written is moved into the past by as much, and nothing of anybody else's. Notifications are
not: they are written once. So when, and how far, is kept in a setting of the transaction, and the engine's statements
read their times with that in mind. All of it ends with the transaction, or with the savepoint in which it was done.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox import durations, steps
from outbox.queue.backdate import BACKDATE

if TYPE_CHECKING:
    from outbox.steps import Steps

_GONE = """
SELECT coalesce(nullif(current_setting('outbox.travelled', true), ''), '[]'),
       CAST(date_part('epoch', clock_timestamp()) AS float8)
"""
_KEEP = "SELECT set_config('outbox.travelled', CAST(:gone AS text), true)"


class Leap(NamedTuple):
    """That so many seconds went by at one moment, which is in seconds since 1970."""

    moment: float
    seconds: float


def travel(conn: Any, ahead: str | float | timedelta | None = None, /, **units: float) -> timedelta:
    """Have so much time go by in this transaction; return how much has, in all.

    `ahead` is a duration such as "5m" or "1h30m", seconds, or a timedelta; `units` are those of a timedelta, as in
    `travel(conn, minutes=5)`. What is enqueued later counts from its own time.

    Raises:
        ValueError: it is no duration, or a negative one.
        NotInTransaction: the connection is in no transaction.
        TypeError: nothing is given, or both; or the connection is asynchronous, or of no known kind.
    """
    return total(steps.run(conn, leaping(_seconds(ahead, units)), allow_autocommit=False))


async def atravel(conn: Any, ahead: str | float | timedelta | None = None, /, **units: float) -> timedelta:
    """Do as `travel` does, on an asynchronous connection."""
    return total(await steps.arun(conn, leaping(_seconds(ahead, units)), allow_autocommit=False))


def leaping(seconds: float, committed: str = "false") -> Steps[list[Leap]]:
    """Let so many seconds go by; return all that have been let so far."""
    gone, now = (yield _GONE, {})[0]
    leaps = [Leap(*each) for each in json.loads(gone)]
    if seconds:
        leaps.append(Leap(now, seconds))
        yield BACKDATE, {"seconds": repr(seconds), "committed": committed}
        yield _KEEP, {"gone": json.dumps(leaps)}
    return leaps


def total(leaps: list[Leap]) -> timedelta:
    """Return how much time has gone by in all."""
    return timedelta(seconds=sum(each.seconds for each in leaps))


def seconds_of(length: str | float | timedelta) -> float:
    """Return the seconds of a length of time. Raises ValueError: it is none, or is negative."""
    return durations.parse(length.total_seconds() if isinstance(length, timedelta) else length)


def _seconds(ahead: str | float | timedelta | None, units: dict[str, float]) -> float:
    if (ahead is None) == (not units):
        raise TypeError('say how far: travel(conn, "5m"), or travel(conn, minutes=5)')
    return seconds_of(timedelta(**units) if ahead is None else ahead)
