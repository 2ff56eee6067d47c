"""topics: a worker says what its configuration has, for those who add suppressions and know no configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import AsyncConnection

# Those that another configuration has stay: what waits for a person about one of them is then left to its claim.
DECLARE = """
INSERT INTO outbox.topics (name, transactional)
SELECT t.name, t.transactional
FROM unnest(%(names)s::text[], %(transactional)s::boolean[]) AS t (name, transactional)
ORDER BY t.name
ON CONFLICT (name) DO UPDATE SET transactional = excluded.transactional, said_at = excluded.said_at
"""


async def declare(conn: AsyncConnection[Any], topics: Mapping[str, bool]) -> None:
    """Say of each topic whether it is transactional: whether people get it who have unsubscribed."""
    if topics:
        await conn.execute(DECLARE, {"names": list(topics), "transactional": list(topics.values())})
