"""unheard: find what was claimed for a worker whose event loop has not heard of it yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from psycopg import Connection

# Leases have no index: each renewal would write to it. So this reads what is due in the order of the claim, which took
# what is at the front, and no further than ten times the largest claim at each level.
UNHEARD = """
SELECT front.id, front.claim
FROM unnest(%(levels)s::smallint[]) AS level (priority)
CROSS JOIN LATERAL (
    SELECT waiting.id, waiting.claim, waiting.worker, waiting.leased_until
    FROM outbox.queue waiting
    WHERE waiting.channel = (SELECT %(channel)s::text) AND waiting.priority = level.priority
      AND waiting.run_at <= now()
    ORDER BY waiting.run_at
    LIMIT 5000
) front
WHERE front.worker = %(worker)s AND front.leased_until > now()
"""


def unheard(conn: Connection[Any], *, channel: str, levels: Sequence[int], worker: int) -> dict[UUID, int]:
    """Return id → claim of what is leased to `worker` at the front of one channel's queue, heard of or not.

    For a claim whose answer nobody has read, because a provider blocks the event loop: its rows are in no one's hand.
    """
    parameters = {"channel": channel, "levels": list(levels), "worker": worker}
    with conn.cursor(row_factory=tuple_row) as cursor:
        return dict(cursor.execute(UNHEARD, parameters).fetchall())
