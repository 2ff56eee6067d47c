"""tend: look after throttles: how what they let through has ended, who may go on, what says nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import AsyncConnection

TEND = "SELECT outbox.tend_throttles(%(batch)s)"


async def tend(conn: AsyncConnection[Any], *, batch: int) -> bool:
    """Look at no more than `batch` throttles, the longest due first; return whether there may be more."""
    row = await (await conn.execute(TEND, {"batch": batch})).fetchone()
    return row is not None and row[0] == batch
