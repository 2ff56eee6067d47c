"""load: many suppressions at once, from a temporary table of the session's own, in transactions of ten thousand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

from outbox import connections
from outbox.queue.swept import START, Swept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from psycopg import Connection

CHUNK = 10_000
PAGE = 5_000

# The columns of a line of `COPY`, in order.
COLUMNS = ("channel", "recipient", "topic", "sender", "reason", "source", "created_at", "until")

STAGE = """
CREATE TEMPORARY TABLE outbox_lines (
    channel text, recipient text, topic text, sender text, reason text, source text, created_at timestamptz,
    until timestamptz)
"""

COPY = "COPY pg_temp.outbox_lines FROM STDIN (NULL '')"

# Of those with one key, what would be kept if they were added one by one. In the order of the primary key, which is the
# one in which settlements add theirs: the two wait for each other, and never deadlock.
MERGE = """
CREATE TEMPORARY TABLE outbox_merged AS
SELECT row_number() OVER (ORDER BY l.channel, l.recipient, l.topic, l.sender) AS place, l.*
FROM (
    SELECT channel, CASE WHEN channel = 'email' THEN lower(recipient) ELSE recipient END AS recipient,
           coalesce(topic, '') AS topic, coalesce(sender, '') AS sender,
           (array_agg(reason ORDER BY outbox.reason_strength(reason) DESC, ctid DESC))[1] AS reason,
           (array_agg(source ORDER BY outbox.reason_strength(reason) DESC, ctid DESC))[1] AS source,
           coalesce(min(created_at), clock_timestamp()) AS created_at,
           CASE WHEN count(until) = count(*) THEN max(until) END AS until
    FROM pg_temp.outbox_lines
    GROUP BY 1, 2, 3, 4
) l
"""

INDEX = "CREATE UNIQUE INDEX outbox_merged_place ON pg_temp.outbox_merged (place)"

COUNT = """
SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (
           SELECT FROM outbox.suppressions s
           WHERE s.channel = m.channel AND s.recipient = m.recipient AND s.topic = m.topic AND s.sender = m.sender))
FROM pg_temp.outbox_merged m
"""

COUNT_WAITING = """
SELECT count(DISTINCT q.id)
FROM outbox.queue q
CROSS JOIN LATERAL (SELECT * FROM outbox.notifications WHERE id = q.id LIMIT 1) n
JOIN pg_temp.outbox_merged m
  ON m.channel = q.channel AND m.sender = '' AND m.topic IN ('', coalesce(n.topic, ''))
 AND m.recipient = CASE WHEN q.channel = 'email' THEN lower(n.recipient) ELSE n.recipient END
WHERE (q.leased_until > clock_timestamp()) IS NOT TRUE
  AND (m.until IS NULL OR m.until > CASE WHEN q.run_at = 'infinity' THEN n.run_at ELSE q.run_at END)
  AND (m.reason <> 'unsubscribed'
       OR NOT EXISTS (SELECT FROM outbox.topics t WHERE t.name = n.topic AND t.transactional))
"""

# What an INSERT has made has no xmax; what it has found and updated has.
LOAD = """
WITH written AS (
    INSERT INTO outbox.suppressions AS s (channel, recipient, topic, sender, reason, source, created_at, until)
    SELECT m.channel, m.recipient, m.topic, m.sender, m.reason, m.source, m.created_at, m.until
    FROM pg_temp.outbox_merged m
    WHERE m.place > %(after)s::bigint AND m.place <= %(after)s::bigint + %(count)s::bigint
    ORDER BY m.place
    ON CONFLICT ON CONSTRAINT suppressions_pkey DO UPDATE
    SET (created_at, until, reason, source) = (
        SELECT least(k.created_at, excluded.created_at), k.until, k.reason, k.source
        FROM outbox.kept_suppression(s, excluded, now()) k)
    RETURNING xmax = 0 AS is_new
)
SELECT count(*), count(*) FILTER (WHERE is_new) FROM written
"""

SWEEP = "SELECT looked, ended, in_hand, last FROM outbox.sweep_suppressed(%(after)s, %(page)s)"


def stage(conn: Connection[Any], lines: Iterator[str]) -> None:
    """Take the lines of a COPY into the session's own table, in this transaction; raises NotMigrated, as `add`."""
    conn.execute(STAGE)
    connections.copy(conn, COPY, lines)


def merge(conn: Connection[Any]) -> tuple[int, int]:
    """Merge the lines about one and the same; return how many are left, and how many of these are new."""
    conn.execute(MERGE)
    conn.execute(INDEX)
    conn.execute("ANALYZE pg_temp.outbox_merged")
    found, new = _row(conn, COUNT)
    return found, new


def count_waiting(conn: Connection[Any]) -> int:
    """Return how many waiting notifications these would end."""
    return int(_row(conn, COUNT_WAITING)[0])


def load(conn: Connection[Any], after: int) -> tuple[int, int]:
    """Add the next ones after so many, in this transaction; return how many these are, and how many are new."""
    added, new = _row(conn, LOAD, after=after, count=CHUNK)
    return added, new


def sweep(conn: Connection[Any], after: UUID = START) -> Swept:
    """End what waits and any suppression keeps back, in the page of the queue after an id, in this transaction."""
    return Swept(*_row(conn, SWEEP, after=after, page=PAGE))


def _row(conn: Connection[Any], sql: str, **parameters: Any) -> Any:
    with conn.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(sql.encode(), parameters or None).fetchone()
