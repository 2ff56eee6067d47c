"""renew: keep the leases of what is in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from psycopg import Connection

# SKIP LOCKED: a row that is locked is being settled by ourselves; waiting for it could only deadlock.
RENEW = """
WITH held AS MATERIALIZED (
    SELECT mine.id
    FROM (SELECT * FROM unnest(%(ids)s::uuid[], %(claims)s::bigint[]) AS held (id, claim) ORDER BY id) mine
    CROSS JOIN LATERAL (
        SELECT FROM outbox.queue q
        WHERE q.id = mine.id AND q.claim = mine.claim AND q.worker = %(worker)s
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) q
)
UPDATE outbox.queue q
SET leased_until = now() + make_interval(secs => %(lease)s)
WHERE q.id = ANY (ARRAY(SELECT held.id FROM held))
RETURNING q.id
"""

# What is still ours, locked or not, to tell a skipped row from one that somebody else claimed.
STILL_OURS = """
SELECT mine.id
FROM unnest(%(ids)s::uuid[], %(claims)s::bigint[]) AS mine (id, claim)
WHERE (SELECT true FROM outbox.queue q
       WHERE q.id = mine.id AND q.claim = mine.claim AND q.worker = %(worker)s LIMIT 1)
"""


def renew(conn: Connection[Any], *, held: Mapping[UUID, int], lease: float, worker: int) -> tuple[set[UUID], set[UUID]]:
    """Extend the leases of `held` (id → claim) to `lease` seconds from now.

    Returns:
        The ids that were renewed, and those that are ours no more: somebody else claimed them, or they are settled.
    """
    parameters = {"ids": list(held), "claims": list(held.values()), "lease": lease, "worker": worker}
    with conn.cursor(row_factory=tuple_row) as cursor:
        renewed = {row[0] for row in cursor.execute(RENEW, parameters)}
        missing = {identity: claim for identity, claim in held.items() if identity not in renewed}
        if not missing:
            return renewed, set()
        parameters |= {"ids": list(missing), "claims": list(missing.values())}
        return renewed, missing.keys() - {row[0] for row in cursor.execute(STILL_OURS, parameters)}
