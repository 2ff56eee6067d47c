"""unblocking: the chore that lets those go on who stand first in their line, and whom nobody made due."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from outbox.queue import unblock

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from outbox.queue.unblock import Line

_PAUSE = 0.05  # seconds before each further step: a million lines are no reason to keep a core busy


class Unblocking:
    """Goes through all lines with the chores' `step`, which is True as long as there are more of them."""

    def __init__(self) -> None:
        self._after: Line | None = None

    async def step(self, conn: AsyncConnection[Any]) -> bool:
        """Look at the next lines, in the transaction that `conn` is in; tell whether to come again at once."""
        if self._after is not None:
            await asyncio.sleep(_PAUSE)
        _, self._after = await unblock.unblock(conn, self._after or unblock.START)
        return self._after is not None
