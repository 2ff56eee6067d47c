"""fire: run an occurrence of a schedule, once: enqueue what its query returns, and move on to the next.

All of it is one transaction. Whoever is at a schedule holds its row, and others pass it by; and the primary key of
`schedule_runs` refuses a second run of the same occurrence, whatever else goes wrong.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import tuple_row

from outbox.errors import NotMigrated, UnknownSchedule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import AsyncConnection

    from outbox.steps import Steps

# What is due and at hand; the longest timeout of all that is due, those included which others are at; and in how many
# seconds there is more to do.
FIND = """
SELECT ARRAY(SELECT s.name FROM outbox.schedules s
             WHERE s.paused_at IS NULL AND greatest(s.next_at, s.retry_at) <= clock_timestamp()
             ORDER BY s.next_at, s.name FOR NO KEY UPDATE SKIP LOCKED),
       (SELECT date_part('epoch', max(s.timeout)) FROM outbox.schedules s
        WHERE s.paused_at IS NULL AND greatest(s.next_at, s.retry_at) <= clock_timestamp()),
       (SELECT date_part('epoch', min(greatest(s.next_at, s.retry_at)) - clock_timestamp()) FROM outbox.schedules s
        WHERE s.paused_at IS NULL AND greatest(s.next_at, s.retry_at) > clock_timestamp())
"""

# The settings end with the transaction. The first bounds the query; the second frees the schedule of a process that was
# frozen in the middle, and the third that of one that was killed, whose query would go on to its end. (Not every system
# can tell that; PostgreSQL refuses the setting where it cannot.)
TAKE = """
SELECT s.cron, s.time_zone, s.missed, s.next_at, s.failures, clock_timestamp(), date_part('epoch', s.timeout),
       set_config('statement_timeout', ceil(date_part('epoch', s.timeout) * 1000)::text, true),
       set_config('idle_in_transaction_session_timeout', '10s', true),
       CASE WHEN version() LIKE '%%linux%%' THEN set_config('client_connection_check_interval', '2s', true) END
FROM outbox.schedules s
WHERE s.name = %(name)s AND s.paused_at IS NULL AND greatest(s.next_at, s.retry_at) <= clock_timestamp()
FOR NO KEY UPDATE SKIP LOCKED
"""

FIRE = "SELECT r.ran, r.enqueued FROM outbox.run_schedule(%(name)s, %(occurrence)s, %(by)s) r"

DONE = """
UPDATE outbox.schedules s SET next_at = %(next_at)s, retry_at = NULL, failures = 0, problem = NULL
WHERE s.name = %(name)s
"""

FORGET = """
DELETE FROM outbox.schedule_runs r
WHERE r.schedule = %(name)s AND r.occurrence < clock_timestamp() - interval '90 days'
"""

# 5 s, 10 s, 20 s and so on, up to ten minutes. Not where somebody has moved it on in the meantime.
FAILED = """
WITH failed AS (
    UPDATE outbox.schedules s
    SET failures = s.failures + 1, problem = %(problem)s,
        retry_at = clock_timestamp() + make_interval(secs => least(5 * 2 ^ least(s.failures, 20), 600))
    WHERE s.name = %(name)s AND s.next_at = %(next_at)s
    RETURNING s.name, s.retry_at
), noted AS (
    INSERT INTO outbox.schedule_runs AS r (schedule, occurrence, ran_by, error, failures)
    SELECT f.name, %(occurrence)s, %(by)s, %(problem)s, 1 FROM failed f
    ON CONFLICT (schedule, occurrence) DO UPDATE
    SET failures = r.failures + 1, error = EXCLUDED.error, ran_by = EXCLUDED.ran_by, ran_at = clock_timestamp()
    WHERE r.error IS NOT NULL
)
SELECT date_part('epoch', f.retry_at - clock_timestamp()) FROM failed f
"""

NAMES = "SELECT s.name FROM outbox.schedules s ORDER BY s.name"

BY_HAND = """
SELECT r.enqueued
FROM outbox.run_schedule(CAST(:name AS text), clock_timestamp(), CAST(current_user AS text)) r
WHERE r.ran
"""


class Due(NamedTuple):
    """The names of schedules to run now; how long the longest run of what is due may take; seconds until there is more.

    None of the two where there is nothing. With a `timeout` and no names, others are at what is due.
    """

    names: Sequence[str]
    timeout: float | None
    pause: float | None


class Taken(NamedTuple):
    """A schedule that is due, in our hands; moments are in UTC, `now` is the database's, `timeout` in seconds."""

    cron: str
    time_zone: str
    missed: str
    next_at: datetime
    failures: int
    now: datetime
    timeout: float


async def find(conn: AsyncConnection[Any]) -> Due:
    """Look what is due."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(FIND)
        ((names, timeout, pause),) = await cursor.fetchall()
    return Due(names, timeout, pause)


async def take(conn: AsyncConnection[Any], name: str) -> Taken | None:
    """Take a schedule for the transaction that `conn` is in; None if it is not due any more, or another has it."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(TAKE, {"name": name})
        row = await cursor.fetchone()
    if row is None:
        return None
    cron, time_zone, missed, next_at, failures, now, timeout, *_ = row
    return Taken(cron, time_zone, missed, next_at.astimezone(UTC), failures, now.astimezone(UTC), timeout)


async def fire(conn: AsyncConnection[Any], name: str, occurrence: datetime) -> int | None:
    """Enqueue what the query returns for an occurrence; returns how many, None if that was done before.

    Raises:
        psycopg.Error: whatever the query runs into.
    """
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(FIRE, {"name": name, "occurrence": occurrence, "by": _by()})
        ((ran, enqueued),) = await cursor.fetchall()
    return enqueued if ran else None


async def done(conn: AsyncConnection[Any], name: str, *, next_at: datetime) -> None:
    """Move on to the next occurrence, and let go of the record of those that are 90 days old."""
    await conn.execute(DONE, {"name": name, "next_at": next_at})
    await conn.execute(FORGET, {"name": name})


async def failed(
    conn: AsyncConnection[Any], name: str, *, next_at: datetime, occurrence: datetime, problem: str
) -> float | None:
    """Note that an occurrence failed; returns in how many seconds it is tried again, None if it is not up any more.

    `next_at` is where the schedule stood when it was taken.
    """
    given = {"name": name, "next_at": next_at, "occurrence": occurrence, "problem": problem, "by": _by()}
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(FAILED, given)
        row = await cursor.fetchone()
    return row[0] if row else None


def fire_by_hand(name: str) -> Steps[int]:
    """Enqueue what the query returns now, besides its occurrences; returns how many.

    Raises:
        UnknownSchedule: there is none of that name.
        Exception: whatever the query runs into, as the driver has it.
    """
    names = [row[0] for row in (yield NAMES, {})]
    if name not in names:
        raise UnknownSchedule(name, names)
    try:
        rows = yield BY_HAND, {"name": name}
    except NotMigrated as error:  # it was there a moment ago: what is missing is of the query's
        raise error.__cause__ or error from None
    return rows[0][0] if rows else 0


def _by() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
