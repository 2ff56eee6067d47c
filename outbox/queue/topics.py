"""topics: say which topics there are, as the configuration has them; everybody who enqueues is held to that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from psycopg import AsyncConnection, Connection

    from outbox.config import TopicConfig

# Those that another configuration has stay; `outbox topic sync --prune` removes them.
DECLARE = """
WITH said AS (
    SELECT s.name, s.transactional, s.opt_in, s.channels, s.delivery, make_interval(secs => s.expires) AS expires
    FROM jsonb_to_recordset(%(topics)s::jsonb)
         AS s (name text, transactional boolean, opt_in boolean, channels text[], delivery text, expires float8)
), other AS (
    SELECT t.name FROM outbox.topics t JOIN said s ON s.name = t.name
    WHERE (t.transactional, t.opt_in, t.channels, t.delivery, t.expires)
          IS DISTINCT FROM (s.transactional, s.opt_in, s.channels, s.delivery, s.expires)
), written AS (
    INSERT INTO outbox.topics (name, transactional, opt_in, channels, delivery, expires)
    SELECT * FROM said ORDER BY said.name
    ON CONFLICT (name) DO UPDATE
    SET transactional = excluded.transactional, opt_in = excluded.opt_in, channels = excluded.channels,
        delivery = excluded.delivery, expires = excluded.expires, said_at = excluded.said_at
)
SELECT coalesce(array_agg(o.name ORDER BY o.name), '{}') FROM other o
"""

# In the order of their names, as a declaration writes them: the two wait for each other, and never deadlock. What is
# enqueued about one that is gone is refused; what waits would still be sent, so nothing may wait.
REMOVE = """
WITH held AS MATERIALIZED (
    SELECT t.name FROM outbox.topics t WHERE t.name = ANY (%(names)s::text[]) ORDER BY t.name FOR UPDATE
)
DELETE FROM outbox.topics t USING held WHERE t.name = held.name
"""

# Windows of digests wait, too. Each that is in the queue is looked up: 5 to 9 µs.
COUNT_WAITING = """
SELECT w.topic, count(*)
FROM (
    SELECT n.topic FROM outbox.queue q
    CROSS JOIN LATERAL (SELECT * FROM outbox.notifications WHERE id = q.id LIMIT 1) n
    WHERE n.topic IS NOT NULL
    UNION ALL
    SELECT d.topic FROM outbox.digests d WHERE d.topic IS NOT NULL
) w
GROUP BY w.topic
"""


LIST = """
SELECT t.name, t.transactional, t.opt_in, t.channels, t.delivery, date_part('epoch', t.expires), t.escalation,
       t.said_at, coalesce(p.yes, 0), coalesce(p.no, 0)
FROM outbox.topics t
LEFT JOIN (SELECT topic, count(*) FILTER (WHERE wanted) AS yes, count(*) FILTER (WHERE NOT wanted) AS no
           FROM outbox.preferences GROUP BY topic) p ON p.topic = t.name
ORDER BY t.name
"""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that is declared: the keys of its configuration, when that was last said, and how many chose what."""

    name: str
    transactional: bool
    opt_in: bool
    channels: Sequence[str] | None
    delivery: str | None
    expires: float | None
    """In seconds."""
    escalation: Sequence[str] | None
    """Its steps; None where there is one way only."""
    said_at: datetime
    opted_in: int
    opted_out: int


async def declare(conn: AsyncConnection[Any], topics: Mapping[str, TopicConfig]) -> Sequence[str]:
    """Say of each topic what the configuration says; returns the names of those of which something else was said."""
    if not topics:
        return ()
    cursor = await conn.execute(DECLARE, _said(topics))
    ((changed,),) = await cursor.fetchall()
    return tuple(changed)


def declare_now(conn: Connection[Any], topics: Mapping[str, TopicConfig]) -> None:
    """Do as `declare` does, on a synchronous connection and in its transaction."""
    if topics:
        conn.execute(DECLARE, _said(topics))


def remove(conn: Connection[Any], names: Sequence[str]) -> None:
    """Remove topics, in the transaction that `conn` is in."""
    conn.execute(REMOVE, {"names": list(names)})


def count_waiting(conn: Connection[Any]) -> dict[str, int]:
    """Return how many notifications, and windows of digests, wait under each topic, declared or not."""
    return dict(conn.execute(COUNT_WAITING).fetchall())


def _said(topics: Mapping[str, TopicConfig]) -> dict[str, str]:
    return {
        "topics": json.dumps(
            [
                {
                    "name": name,
                    "transactional": topic.transactional,
                    "opt_in": topic.default == "opt_in",
                    "channels": topic.channels,
                    "delivery": topic.delivery,
                    "expires": topic.expires,
                }
                for name, topic in topics.items()
            ]
        )
    }


def list_topics(conn: Connection[Any]) -> list[Topic]:
    """Return the topics that are declared, by name."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        return [Topic(*row) for row in cursor.execute(LIST).fetchall()]
