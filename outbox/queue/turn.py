"""turn: which chore is due, whose turn it is to do it, and when it is due again."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from psycopg import AsyncConnection

# Any constant will do, as long as every version of this package uses the same one.
_ADVISORY_LOCK = 7_306_076_015

_GRACE = 5.0  # seconds
"""So long after the moment for which a process has kept a chore, another goes on with it."""

# A moment further ahead than a chore is ever put off was written by a clock that has been set back since.
NEXT = """
SELECT asked.name,
       CASE WHEN c.due_at IS NULL OR c.due_at > clock_timestamp() + make_interval(secs => 2 * asked.every) THEN 0
            ELSE greatest(date_part('epoch', c.due_at - clock_timestamp())
                          - CASE WHEN c.name = ANY (%(ours)s::text[]) AND c.done_by = %(by)s
                                 THEN %(grace)s::float8 ELSE 0 END, 0)
       END AS pause,
       (SELECT count(*) FROM outbox.workers w WHERE w.seen_at > clock_timestamp() - interval '1 minute')
FROM unnest(%(names)s::text[], %(periods)s::double precision[]) AS asked (name, every)
LEFT JOIN outbox.chores c ON c.name = asked.name
ORDER BY pause, c.due_at NULLS FIRST, asked.name LIMIT 1
"""

# All of it ends with the transaction, so that it works through a pooler that shares connections between transactions,
# where a lock of the session would be left behind on somebody else's. The limits are what frees the lock of a process
# that was frozen (idle_in_transaction_…) or whose machine vanished while the server worked for it; no claim waits
# behind a chore that waits for a table's lock any longer than lock_timeout.
TAKE = """
SELECT pg_try_advisory_xact_lock(%(lock)s),
       set_config('lock_timeout', '100ms', true),
       set_config('statement_timeout', '20s', true),
       set_config('idle_in_transaction_session_timeout', %(frozen)s, true)
"""

DONE = """
INSERT INTO outbox.chores (name, due_at, done_at, done_by)
VALUES (%(name)s, clock_timestamp() + make_interval(secs => %(pause)s), clock_timestamp(), %(by)s)
ON CONFLICT (name) DO UPDATE
SET due_at = EXCLUDED.due_at, done_at = EXCLUDED.done_at, done_by = EXCLUDED.done_by, failures = 0, problem = NULL
"""

# 5 s, 10 s, 20 s and so on, up to the period: trouble that passes costs little, and trouble that lasts (a role that may
# not create tables) says so no more often than the chore is due.
FAILED = """
INSERT INTO outbox.chores AS c (name, due_at, failures, problem)
VALUES (%(name)s, clock_timestamp() + make_interval(secs => least(5, %(every)s)), 1, %(problem)s)
ON CONFLICT (name) DO UPDATE
SET due_at = clock_timestamp() + make_interval(secs => least(5 * 2 ^ least(c.failures, 20), %(every)s)),
    failures = c.failures + 1, problem = EXCLUDED.problem
"""


async def find_next(
    conn: AsyncConnection[Any], periods: Mapping[str, float], *, ours: Collection[str] = ()
) -> tuple[str, float, int]:
    """Return which of the chores (name → seconds from one time to the next) is due next, in how many seconds.

    And how many live workers there are, who all look after them. `ours` are those that this process has kept.
    """
    parameters = {
        "names": list(periods),
        "periods": [float(period) for period in periods.values()],
        "ours": list(ours),
        "by": _us(),
        "grace": _GRACE,
    }
    name, pause, workers = (await (await conn.execute(NEXT, parameters)).fetchall())[0]
    return str(name), float(pause), int(workers)


async def take(conn: AsyncConnection[Any], *, frozen: float) -> bool:
    """Tell whether it is ours to do a chore in this transaction: nobody else in the fleet is at one.

    Whoever stops for `frozen` seconds between two statements of it loses the turn, and the connection.
    """
    cursor = await conn.execute(TAKE, {"lock": _ADVISORY_LOCK, "frozen": f"{int(frozen * 1000)}ms"})
    return bool((await cursor.fetchall())[0][0])


async def done(conn: AsyncConnection[Any], name: str, *, pause: float) -> None:
    """Note that a chore was done, in the transaction that did it, and is due again in `pause` seconds."""
    await conn.execute(DONE, {"name": name, "pause": pause, "by": _us()})


async def keep(conn: AsyncConnection[Any], name: str, *, pause: float) -> None:
    """Note that a step of a chore was done, and that this process goes on with it in `pause` seconds."""
    await done(conn, name, pause=pause + _GRACE)


async def failed(conn: AsyncConnection[Any], name: str, *, every: float, problem: str) -> None:
    """Note that a chore failed; it is due again soon, and the later the more often it has failed."""
    await conn.execute(FAILED, {"name": name, "every": every, "problem": problem})


def _us() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
