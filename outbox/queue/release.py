"""release: give back what was claimed and not tried, so that another worker has it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from psycopg import AsyncConnection

# No attempt is used and none is recorded: nothing happened. A row that somebody has locked comes back by its lease.
RELEASE = """
WITH held AS MATERIALIZED (
    SELECT q.id, mine.delay
    FROM unnest(%(ids)s::uuid[], %(claims)s::bigint[], %(delays)s::float8[]) AS mine (id, claim, delay)
    JOIN outbox.queue q ON q.id = mine.id AND q.claim = mine.claim
    WHERE q.worker = %(worker)s
    ORDER BY q.id
    FOR UPDATE OF q SKIP LOCKED
)
UPDATE outbox.queue q
SET run_at = now() + make_interval(secs => held.delay), worker = NULL
FROM held
WHERE q.id = held.id
"""


async def release(conn: AsyncConnection[Any], *, held: Mapping[UUID, int], worker: int, spacing: float = 0.0) -> int:
    """Give back `held` (id → claim), each due `spacing` seconds after the one before; returns how many were ours."""
    delays = [spacing * place for place, _ in enumerate(held, 1)]
    parameters = {"ids": list(held), "claims": list(held.values()), "delays": delays, "worker": worker}
    cursor = await conn.execute(RELEASE, parameters)
    return cursor.rowcount
