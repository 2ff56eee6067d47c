"""Schedules: what is enqueued again and again, from a query, on any connection that `enqueue` takes.

    schedules.add(conn, "digest", "0 9 * * MON", "SELECT email AS recipient FROM users", time_zone="Europe/Berlin",
                  channel="email", template="digest")

Workers run them. Each function has an asynchronous twin whose name begins with an a; all of them commit with your
transaction, or at once in autocommit mode. They take the rights of the owner of the tables; `docs/schedules.md` says
which ones the workers need. All raise NotMigrated where the database has no outbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from outbox import steps
from outbox.errors import UnknownSchedule
from outbox.occurrences import Occurrences
from outbox.queue import fire, scheduled, suspend, unschedule
from outbox.queue import schedule as addition
from outbox.queue.definition import Definition
from outbox.queue.scheduled import Contents, Run, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Unpack

    from outbox.steps import Steps

__all__ = [
    "Contents",
    "Fields",
    "Run",
    "Schedule",
    "aadd",
    "acontents",
    "add",
    "afind",
    "alist_all",
    "apause",
    "aremove",
    "aresume",
    "arun_now",
    "aruns",
    "contents",
    "find",
    "list_all",
    "occurrences",
    "pause",
    "remove",
    "resume",
    "run_now",
    "runs",
]


class Fields(TypedDict, total=False):
    """The fields that can be the same for each notification, for those that the query does not return."""

    channel: str | None
    template: str | None
    payload: Mapping[str, Any] | None
    priority: str | int
    topic: str | None
    group_key: str | None
    locale: str | None
    headers: Mapping[str, Any] | None


def add(
    conn: Any,
    name: str,
    cron: str,
    query: str,
    *,
    time_zone: str = "UTC",
    missed: str = "once",
    timeout: float = 60.0,
    replace: bool = False,
    **fields: Unpack[Fields],
) -> Schedule:
    """Add a schedule: at each occurrence of `cron`, each row that `query` returns becomes a notification, once.

    The query is looked at and not run. It finds its tables by the search path of this connection, also later.

    Args:
        conn: a connection of a role that may write `outbox.schedules`: the owner of the tables.
        name: letters, digits, `_`, `.` and `-`.
        cron: minute, hour, day of month, month and day of week, such as `0 9 * * MON`; or `@daily` and its like.
        query: one SELECT. Its columns are fields of a notification; `recipient` must be among them.
        time_zone: by whose clocks, and in which time zone the query runs: an IANA name.
        missed: of occurrences that were missed, `skip` runs none, `once` the latest, `all` each of them.
        timeout: seconds, after which a run is undone and has failed.
        replace: put it in the place of one with this name. If it comes due when that did, no occurrence is moved.
        fields: what the query does not return, the same for each notification: `channel`, `template` and so on.

    Raises:
        InvalidSchedule: an argument was refused (which, and why), or the name is taken.
    """
    given: dict[str, Any] = {"time_zone": time_zone, "missed": missed, "timeout": timeout, "defaults": fields}
    return steps.run(conn, _add(Definition.of(name, cron, query, **given), replace=replace))


async def aadd(
    conn: Any,
    name: str,
    cron: str,
    query: str,
    *,
    time_zone: str = "UTC",
    missed: str = "once",
    timeout: float = 60.0,  # noqa: ASYNC109 - the query's, not ours
    replace: bool = False,
    **fields: Unpack[Fields],
) -> Schedule:
    """Do as `add` does, on an asynchronous connection."""
    given: dict[str, Any] = {"time_zone": time_zone, "missed": missed, "timeout": timeout, "defaults": fields}
    return await steps.arun(conn, _add(Definition.of(name, cron, query, **given), replace=replace))


def remove(conn: Any, name: str) -> None:
    """Remove a schedule and the record of its runs, after the one that is under way. What it enqueued stays.

    Raises:
        UnknownSchedule: there is none of that name.
    """
    steps.run(conn, _remove(name))


async def aremove(conn: Any, name: str) -> None:
    """Do as `remove` does, on an asynchronous connection."""
    await steps.arun(conn, _remove(name))


def pause(conn: Any, name: str) -> bool:
    """Pause a schedule; returns whether it was not paused before. Raises UnknownSchedule."""
    return steps.run(conn, _pause(name))


async def apause(conn: Any, name: str) -> bool:
    """Do as `pause` does, on an asynchronous connection."""
    return await steps.arun(conn, _pause(name))


def resume(conn: Any, name: str) -> Schedule:
    """Resume a schedule, from the next occurrence on: none that came while it was paused is run.

    Raises:
        UnknownSchedule: there is none of that name.
    """
    return steps.run(conn, _resume(name))


async def aresume(conn: Any, name: str) -> Schedule:
    """Do as `resume` does, on an asynchronous connection."""
    return await steps.arun(conn, _resume(name))


def run_now(conn: Any, name: str) -> int:
    """Enqueue what the query returns now, in the transaction that `conn` is in; returns how many.

    With the rights of this connection, also while it is paused; its occurrences are not touched by it.

    Raises:
        UnknownSchedule: there is none of that name.
        Exception: whatever the query runs into, as the driver has it.
    """
    return steps.run(conn, fire.fire_by_hand(name))


async def arun_now(conn: Any, name: str) -> int:
    """Do as `run_now` does, on an asynchronous connection."""
    return await steps.arun(conn, fire.fire_by_hand(name))


def list_all(conn: Any) -> list[Schedule]:
    """Return all schedules, in the order of their names."""
    return steps.run(conn, scheduled.list_schedules())


async def alist_all(conn: Any) -> list[Schedule]:
    """Do as `list_all` does, on an asynchronous connection."""
    return await steps.arun(conn, scheduled.list_schedules())


def find(conn: Any, name: str) -> Schedule:
    """Return one schedule. Raises UnknownSchedule."""
    return steps.run(conn, _find(name))


async def afind(conn: Any, name: str) -> Schedule:
    """Do as `find` does, on an asynchronous connection."""
    return await steps.arun(conn, _find(name))


def contents(conn: Any, name: str) -> Contents:
    """Return what a schedule enqueues: its query, and what is the same for each row. Raises UnknownSchedule."""
    return steps.run(conn, _contents(name))


async def acontents(conn: Any, name: str) -> Contents:
    """Do as `contents` does, on an asynchronous connection."""
    return await steps.arun(conn, _contents(name))


def runs(conn: Any, name: str | None = None, *, limit: int = 20) -> list[Run]:
    """Return what became of the last `limit` occurrences of each schedule, or of one, the latest first."""
    return steps.run(conn, scheduled.list_runs(name, limit=limit))


async def aruns(conn: Any, name: str | None = None, *, limit: int = 20) -> list[Run]:
    """Do as `runs` does, on an asynchronous connection."""
    return await steps.arun(conn, scheduled.list_runs(name, limit=limit))


def occurrences(schedule: Schedule, count: int) -> list[datetime]:
    """Return the next `count` occurrences of a schedule, in UTC, were it not paused."""
    first = [] if schedule.paused_at else [schedule.next_at]
    after = max([schedule.now, *first])
    return [*first, *Occurrences(schedule.cron, schedule.time_zone).upcoming(after, count)][:count]


def _add(definition: Definition, *, replace: bool) -> Steps[Schedule]:
    yield from addition.schedule(definition, replace=replace)
    return (yield from _find(definition.name))


def _remove(name: str) -> Steps[None]:
    yield from _find(name)
    yield from unschedule.unschedule(name)


def _pause(name: str) -> Steps[bool]:
    yield from _find(name)
    return (yield from suspend.pause(name))


def _resume(name: str) -> Steps[Schedule]:
    found = yield from _find(name)
    next_at = Occurrences(found.cron, found.time_zone).first_after(found.now)
    yield from suspend.resume(name, next_at=next_at)
    return (yield from _find(name))


def _find(name: str) -> Steps[Schedule]:
    every = yield from scheduled.list_schedules()
    found = next((schedule for schedule in every if schedule.name == name), None)
    if found is None:
        raise UnknownSchedule(name, [schedule.name for schedule in every])
    return found


def _contents(name: str) -> Steps[Contents]:
    yield from _find(name)
    found = yield from scheduled.show_contents(name)
    if found is None:
        raise UnknownSchedule(name, [])
    return found
