"""unblock: let those go on who stand first in line, and are blocked all the same.

Whoever is sent, or ends otherwise, makes the next of its ordering key due. That misses a next one whose enqueue is not
committed yet, or which an application has locked; and whoever is cancelled, erased or deleted by hand makes nobody due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from psycopg import AsyncConnection

LINES = 1_000

# From line to line, by an index of the blocked: not one of those who stand behind the first is looked at.
UNBLOCK = """
WITH RECURSIVE line AS (
    (SELECT q.channel, q.ordering_key, 1 AS number
     FROM outbox.queue q
     WHERE q.run_at = 'infinity' AND (q.channel, q.ordering_key) > (%(channel)s::text, %(ordering_key)s::text)
     ORDER BY q.channel, q.ordering_key LIMIT 1)
    UNION ALL
    SELECT further.channel, further.ordering_key, line.number + 1
    FROM line
    CROSS JOIN LATERAL (
        SELECT q.channel, q.ordering_key
        FROM outbox.queue q
        WHERE q.run_at = 'infinity' AND (q.channel, q.ordering_key) > (line.channel, line.ordering_key)
        ORDER BY q.channel, q.ordering_key LIMIT 1
    ) further
    WHERE line.number < %(lines)s
)
SELECT line.channel, line.ordering_key,
       ahead.run_at = 'infinity' AND outbox.unblock_next(line.channel, line.ordering_key, ahead.position - 1)
FROM line
CROSS JOIN LATERAL (
    SELECT q.position, q.run_at
    FROM outbox.queue q
    WHERE q.channel = line.channel AND q.ordering_key = line.ordering_key
    ORDER BY q.position LIMIT 1
) ahead
ORDER BY line.number
"""


class Line(NamedTuple):
    """A line: those of one channel with the same ordering key."""

    channel: str
    ordering_key: str


START = Line("", "")


async def unblock(conn: AsyncConnection[Any], after: Line = START, lines: int = LINES) -> tuple[int, Line | None]:
    """Look at up to `lines` lines in which somebody is blocked, from the one after `after` on.

    Returns how many were unblocked, and where to go on; None at the end.
    """
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(UNBLOCK, {**after._asdict(), "lines": lines})
        rows = await cursor.fetchall()
    return sum(row[2] for row in rows), Line(*rows[-1][:2]) if len(rows) == lines else None
