"""When to claim again after a claim came back empty: polling is the truth, a notification only a hint."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from outbox.queue import attend

if TYPE_CHECKING:
    from outbox.config import WorkerConfig
    from outbox.database import Link


class Wakeup:
    """One channel's. Busy workers poll at short intervals, an index probe each, and cost enqueues nothing.

    After `idle_after` seconds without work the worker declares itself idle, looks once more (what was committed before
    the declaration did not notify), and then sleeps until it is notified, or for `idle_poll` seconds.
    """

    def __init__(self, channel: str, worker: int, link: Link, settings: WorkerConfig) -> None:
        self._channel = channel
        self._worker = worker
        self._link = link
        self._settings = settings
        self._found_at = time.monotonic()
        self._idle = False
        self._hint = asyncio.Event()
        self.can_hear = False

    def hint(self) -> None:
        """Note that something may have become due."""
        self._hint.set()

    async def found(self) -> None:
        """Note that a claim brought something: enqueues need not notify any more."""
        self._found_at = time.monotonic()
        if self._idle:  # what could not be said this time is said with the next claim
            self._idle = not await self._link.run(lambda conn: attend.wake(conn, self._worker, self._channel))

    async def wait(self) -> None:
        """Return when it is time to claim again."""
        if not self._idle and time.monotonic() - self._found_at < self._settings.idle_after:
            await asyncio.sleep(self._settings.poll)
        elif self._idle or not self.can_hear:
            await self._sleep()
        else:
            self._hint.clear()
            self._idle = await self._link.run(lambda conn: attend.sleep(conn, self._worker, self._channel))
            if not self._idle:
                await asyncio.sleep(self._settings.poll)

    async def _sleep(self) -> None:
        # A worker that cannot hear (behind a pooler) polls five times as often instead. The jitter keeps a fleet apart.
        pause = self._settings.idle_poll * (1 if self.can_hear else 0.2) * random.uniform(0.9, 1.1)
        try:
            async with asyncio.timeout(pause):
                await self._hint.wait()
        except TimeoutError:
            return
        self._hint.clear()
