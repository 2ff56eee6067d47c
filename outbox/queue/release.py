"""release: give back what was claimed and not tried, so that another worker has it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from psycopg import AsyncConnection

# No attempt is used and none is recorded: nothing happened. A row that somebody has locked is not waited for, but told.
RELEASE = """
WITH held AS MATERIALIZED (
    SELECT mine.id
    FROM (SELECT * FROM unnest(%(ids)s::uuid[], %(claims)s::bigint[]) AS held (id, claim) ORDER BY id) mine
    CROSS JOIN LATERAL (
        SELECT FROM outbox.queue q
        WHERE q.id = mine.id AND q.claim = mine.claim AND q.worker = %(worker)s
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) q
), released AS (
    UPDATE outbox.queue q
    SET run_at = now(), worker = NULL, leased_until = NULL
    WHERE q.id = ANY (ARRAY(SELECT held.id FROM held))
)
SELECT mine.id, mine.given
FROM (
    SELECT m.id, m.claim, m.id IN (SELECT held.id FROM held) AS given
    FROM unnest(%(ids)s::uuid[], %(claims)s::bigint[]) AS m (id, claim)
) mine
WHERE mine.given
   OR (SELECT true FROM outbox.queue q
       WHERE q.id = mine.id AND q.claim = mine.claim AND q.worker = %(worker)s LIMIT 1)
"""

# For people, who type it when `outbox doctor` says so: what workers held that are struck off is anybody's.
RELEASE_ORPHANS = """
UPDATE outbox.queue q SET leased_until = clock_timestamp()
WHERE q.leased_until > clock_timestamp() AND NOT EXISTS (SELECT FROM outbox.workers w WHERE w.id = q.worker)
"""


async def release(conn: AsyncConnection[Any], *, held: Mapping[UUID, int], worker: int) -> tuple[set[UUID], set[UUID]]:
    """Give back `held` (id → claim).

    Returns:
        The ids that were given back, and those that are ours still, because somebody has them locked.
    """
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(RELEASE, {"ids": list(held), "claims": list(held.values()), "worker": worker})
        answers = await cursor.fetchall()
    return {identity for identity, given in answers if given}, {identity for identity, given in answers if not given}
