"""load_preferences: what many people want, at once, from a temporary table of the session's own.

Of two for the same recipient, channel and topic, the later word holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import tuple_row

from outbox import connections
from outbox.queue.declared import DECLARED, Declared, read
from outbox.queue.swept import START, Swept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from psycopg import Connection

CHUNK = 10_000
PAGE = 5_000

# The columns of a line of `COPY`, in order.
COLUMNS = ("channel", "recipient", "topic", "wanted", "source", "updated_at")

STAGE = """
CREATE TEMPORARY TABLE outbox_lines (
    channel text, recipient text, topic text, wanted boolean, source text, updated_at timestamptz)
"""

COPY = "COPY pg_temp.outbox_lines FROM STDIN (NULL '')"

# A line that does not say when is of now. In the order of the primary key, which is that of set_preferences(): the two
# wait for each other, and never deadlock.
MERGE = """
CREATE TEMPORARY TABLE outbox_merged AS
SELECT row_number() OVER (ORDER BY l.channel, l.recipient, l.topic) AS place, l.*
FROM (
    SELECT DISTINCT ON (channel, looked_up, topic)
           channel, looked_up AS recipient, topic, wanted, source, coalesce(updated_at, clock_timestamp()) AS updated_at
    FROM pg_temp.outbox_lines,
         LATERAL (SELECT CASE WHEN channel = 'email' THEN lower(recipient) ELSE recipient END AS looked_up) spelt
    ORDER BY channel, looked_up, topic, pg_temp.outbox_lines.updated_at DESC NULLS FIRST,
             pg_temp.outbox_lines.ctid DESC
) l
"""

INDEX = "CREATE UNIQUE INDEX outbox_merged_place ON pg_temp.outbox_merged (place)"

COUNT = """
SELECT count(*), count(*) FILTER (WHERE p.topic IS NULL OR p.wanted <> m.wanted AND p.updated_at <= m.updated_at),
       count(*) FILTER (WHERE p.updated_at > m.updated_at)
FROM pg_temp.outbox_merged m
LEFT JOIN outbox.preferences p
       ON p.channel = m.channel AND p.recipient = m.recipient AND p.topic = m.topic
"""

COUNT_WAITING = """
SELECT count(*)
FROM outbox.queue q
CROSS JOIN LATERAL (SELECT * FROM outbox.notifications WHERE id = q.id LIMIT 1) n
JOIN pg_temp.outbox_merged m
  ON m.channel = q.channel AND m.topic = n.topic AND NOT m.wanted
 AND m.recipient = CASE WHEN q.channel = 'email' THEN lower(n.recipient) ELSE n.recipient END
WHERE (q.leased_until > clock_timestamp()) IS NOT TRUE
  AND NOT EXISTS (SELECT FROM outbox.preferences p
                  WHERE p.channel = m.channel AND p.recipient = m.recipient AND p.topic = m.topic
                    AND p.updated_at > m.updated_at)
"""

# The later word holds; a yes takes back an unsubscription from the very topic, unless that is younger.
LOAD = """
WITH chunk AS MATERIALIZED (
    SELECT m.*, p.wanted IS DISTINCT FROM m.wanted AS is_new
    FROM pg_temp.outbox_merged m
    LEFT JOIN outbox.preferences p
           ON p.channel = m.channel AND p.recipient = m.recipient AND p.topic = m.topic
    WHERE m.place > %(after)s::bigint AND m.place <= %(after)s::bigint + %(count)s::bigint
), written AS (
    INSERT INTO outbox.preferences AS p (updated_at, wanted, channel, recipient, topic, source)
    SELECT c.updated_at, c.wanted, c.channel, c.recipient, c.topic, c.source FROM chunk c ORDER BY c.place
    ON CONFLICT ON CONSTRAINT preferences_pkey DO UPDATE
    SET updated_at = excluded.updated_at, wanted = excluded.wanted, source = excluded.source
    WHERE p.updated_at <= excluded.updated_at
    RETURNING p.channel, p.recipient, p.topic, p.wanted, p.updated_at
), lifted AS (
    DELETE FROM outbox.suppressions s USING written w
    WHERE w.wanted AND s.channel = w.channel AND s.recipient = w.recipient AND s.topic = w.topic AND s.sender = ''
      AND s.reason = 'unsubscribed' AND s.created_at <= w.updated_at
    RETURNING 1
)
SELECT (SELECT count(*) FROM chunk),
       (SELECT count(*) FROM written w JOIN chunk c USING (channel, recipient, topic) WHERE c.is_new),
       (SELECT count(*) FROM chunk) - (SELECT count(*) FROM written),
       (SELECT count(*) FROM lifted)
"""

# As its claim would, a page of the queue at a time.
SWEEP = """
WITH seen AS MATERIALIZED (
    SELECT q.id, q.channel FROM outbox.queue q WHERE q.id > %(after)s::uuid ORDER BY q.id LIMIT %(page)s::bigint
), unwanted AS MATERIALIZED (
    SELECT e.id, outbox.unwanted(e.channel, n.recipient, n.topic) AS words
    FROM seen e
    CROSS JOIN LATERAL (SELECT * FROM outbox.notifications WHERE id = e.id LIMIT 1) n
    WHERE n.topic IS NOT NULL
      AND NOT EXISTS (SELECT FROM outbox.topics t WHERE t.name = n.topic AND t.transactional)
), theirs AS MATERIALIZED (
    SELECT coalesce(array_agg(u.id ORDER BY u.id), '{}') AS ids,
           coalesce(array_agg(u.words ORDER BY u.id), '{}') AS words
    FROM unwanted u WHERE u.words IS NOT NULL
), swept AS MATERIALIZED (
    SELECT outbox.end_suppressed(t.ids, t.words) AS ended, cardinality(t.ids) AS found FROM theirs t
)
SELECT l.looked, s.ended, s.found - s.ended, CASE WHEN l.looked = %(page)s::bigint THEN l.last END
FROM swept s, (SELECT count(*) AS looked, (array_agg(e.id ORDER BY e.id DESC))[1] AS last FROM seen e) l
"""

# Stale statistics must not make a page read the whole queue.
BY_INDEX = "SET LOCAL enable_seqscan = off"


class Foreseen(NamedTuple):
    """How many people's words these are, how many say something else than before, and how many are out of date."""

    found: int
    new: int
    outdated: int


class Loaded(NamedTuple):
    """Of the next ones: how many there were, said something else than before, were out of date; what a yes lifted."""

    taken: int
    new: int
    outdated: int
    lifted: int


def declared(conn: Connection[Any]) -> dict[str, Declared]:
    """Return the topics that are declared."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        return read(cursor.execute(DECLARED).fetchall())


def stage(conn: Connection[Any], lines: Iterator[str]) -> None:
    """Take the lines of a COPY into the session's own table, in this transaction."""
    conn.execute(STAGE)
    connections.copy(conn, COPY, lines)


def merge(conn: Connection[Any]) -> Foreseen:
    """Keep the last word of each line about the same; return what there would be to write."""
    conn.execute(MERGE)
    conn.execute(INDEX)
    conn.execute("ANALYZE pg_temp.outbox_merged")
    return Foreseen(*_row(conn, COUNT))


def count_waiting(conn: Connection[Any]) -> int:
    """Return how many waiting notifications these would end."""
    return int(_row(conn, COUNT_WAITING)[0])


def load(conn: Connection[Any], after: int) -> Loaded:
    """Write down the next ones after so many, in this transaction."""
    return Loaded(*_row(conn, LOAD, after=after, count=CHUNK))


def sweep(conn: Connection[Any], after: UUID = START) -> Swept:
    """End what waits and is not wanted, in the page of the queue after an id, in this transaction."""
    conn.execute(BY_INDEX)
    return Swept(*_row(conn, SWEEP, after=after, page=PAGE))


def _row(conn: Connection[Any], sql: str, **parameters: Any) -> Any:
    with conn.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(sql.encode(), parameters or None).fetchone()
