"""digest: make one notification of each window whose time has come. What joins a window does so by `enqueue`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import AsyncConnection

CLOSE_DUE = "SELECT outbox.close_due_digests(%(batch)s)"


async def close_due(conn: AsyncConnection[Any], *, batch: int) -> bool:
    """Close at most `batch` windows, the longest due first; return whether there may be more."""
    cursor = await conn.execute(CLOSE_DUE, {"batch": batch})
    row = await cursor.fetchone()
    return row is not None and row[0] == batch
