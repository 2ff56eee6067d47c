"""gather: settle what a throttle kept back, and put it into the digest that goes out when a place is free."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection

    from outbox.queue.settlement import Settlement

GATHER = """
SELECT id::text, settled
FROM outbox.gather(%(worker)s, %(ids)s::uuid[], %(claims)s::bigint[], %(numbers)s::bigint[], %(periods)s::float8[],
                   %(waits)s::float8[], %(templates)s::text[], %(words)s::text[], %(started)s::float8[],
                   %(finished)s::float8[])
"""


async def gather(
    conn: AsyncConnection[Any], settlements: Sequence[Settlement], *, worker: int
) -> tuple[set[str], set[str]]:
    """End these as suppressed, each with words that name the notification it goes out in.

    Returns:
        As `settle` does: the keys of those that were still ours, and of those that are ours but were locked.
    """
    now = time.monotonic()
    surplus = [one.outcome.surplus for one in settlements if one.outcome.surplus is not None]
    values = {
        "worker": worker,
        "ids": [one.key for one in settlements],
        "claims": [one.claim for one in settlements],
        "numbers": [each.quota.number for each in surplus],
        "periods": [each.quota.seconds for each in surplus],
        "waits": [max(each.wait - (now - one.started), 0.05) for each, one in zip(surplus, settlements, strict=True)],
        "templates": [each.template for each in surplus],
        "words": [f"{one.outcome.failure.detail} " if one.outcome.failure else "" for one in settlements],
        "started": [now - one.started for one in settlements],
        "finished": [now - one.finished for one in settlements],
    }
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(GATHER, values)
        rows = await cursor.fetchall()
    return {row[0] for row in rows if row[1]}, {row[0] for row in rows if not row[1]}
