"""unblocking: the chore that lets those go on who stand first in their line, and whom nobody made due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox.queue import unblock

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from outbox.queue.unblock import Line

_PAUSE = 0.05  # seconds after each step but the last: a million lines are no reason to keep a core busy


class Unblocking:
    """Goes through all lines with the chores' `step`, which returns a pause as long as there are more of them."""

    def __init__(self) -> None:
        self._after: Line | None = None

    async def step(self, conn: AsyncConnection[Any]) -> float | None:
        """Look at the next lines, in the transaction that `conn` is in; return in how many seconds to come again."""
        _, self._after = await unblock.unblock(conn, self._after or unblock.START)
        return None if self._after is None else _PAUSE
