"""horizon: the chore that says who holds a snapshot open, before the tables have grown for an hour."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from outbox.errors import clean
from outbox.events import HorizonHeld
from outbox.queue import horizon

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from outbox.events import Listener

LONG = 30.0
"""Seconds that a transaction may stay open before anybody is told."""
_AGAIN = 600.0


class Horizon:
    """Tells of each holder once in ten minutes, with the chores' `step`; each process for itself."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._told: tuple[int, float] | None = None  # which process, and when

    async def step(self, conn: AsyncConnection[Any]) -> None:
        """Look for whoever has had a transaction open for too long."""
        holder = await horizon.find_oldest(conn, longer_than=LONG)
        if holder is None:
            return
        now = time.monotonic()
        if self._told is None or self._told[0] != holder.pid or now > self._told[1] + _AGAIN:
            self._told = holder.pid, now
            user, application = clean(holder.user, 64), clean(holder.application, 64)
            self._listener(HorizonHeld(holder.pid, user, application, holder.state, holder.seconds))
