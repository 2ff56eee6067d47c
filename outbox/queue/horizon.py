"""horizon: who keeps PostgreSQL from removing what was settled, by a snapshot or a transaction that stays open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from psycopg import AsyncConnection

# Of this database alone: a snapshot of another one holds up nothing here, and VACUUM holds up nobody. Nor does who is
# idle: handed what it listens for, a session says to be in a transaction as old as its last statement. Whoever may not
# see other users' sessions (that takes pg_read_all_stats) finds those of its own.
OLDEST = """
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(a.state, ''),
       date_part('epoch', clock_timestamp() - a.xact_start)
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
  AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
  AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.state IS DISTINCT FROM 'idle'
  AND a.xact_start < clock_timestamp() - make_interval(secs => %(longer_than)s)
ORDER BY a.xact_start LIMIT 1
"""


class Holder(NamedTuple):
    """A session whose transaction has been open for `seconds`."""

    pid: int
    user: str
    application: str
    state: str
    seconds: float


async def find_oldest(conn: AsyncConnection[Any], *, longer_than: float) -> Holder | None:
    """Return the session that has held the horizon the longest, if it is longer than so many seconds."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(OLDEST, {"longer_than": longer_than})
        row = await cursor.fetchone()
    return None if row is None else Holder(*row)
