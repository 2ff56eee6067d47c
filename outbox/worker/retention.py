"""retention: the chore that lets go of what is past its time, a step at a turn."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from psycopg.errors import LockNotAvailable

from outbox.events import Retained
from outbox.queue.retention import Sweep

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from outbox.config import RetentionConfig
    from outbox.events import Listener

_STALE = 60.0  # seconds; so long after our last turn, another process has finished the pass


class Retention:
    """Makes one pass after another with the chores' `step`, which returns a pause as long as there is more to do."""

    def __init__(self, policy: RetentionConfig, listener: Listener) -> None:
        self._policy = policy
        self._listener = listener
        self._begin()

    def _begin(self) -> None:
        self._sweep = Sweep(self._policy)
        self._stepped = time.monotonic()
        self._dropped: list[str] = []
        self._deleted: Counter[str] = Counter()

    async def step(self, conn: AsyncConnection[Any]) -> float | None:
        """Do one step in the transaction that `conn` is in; return in how many seconds to come again, if there is more.

        Raises:
            LockNotAvailable: a partition could not be dropped; the next pass, which the failure brings forward, tries
                again.
        """
        if time.monotonic() - self._stepped > _STALE:
            self._begin()
        step = await self._sweep.step(conn)
        self._stepped = time.monotonic()
        if step is None:
            busy = self._sweep.busy
            self._tell()
            self._begin()
            if busy:
                raise LockNotAvailable(f"{', '.join(busy)}: in use without a pause, and so not dropped")
            return None
        if step.did == "dropped":
            self._dropped.append(step.what)
        elif step.did == "deleted" and step.rows:
            self._deleted[step.what] += step.rows
        return self._sweep.pause

    def _tell(self) -> None:
        if self._dropped or self._deleted:
            self._listener(Retained(tuple(self._dropped), dict(self._deleted)))
