"""settler: gathers outcomes for a moment, and writes them in one statement. Nothing it was given is dropped."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

import psycopg

from outbox.database import describe
from outbox.events import ChoreFailed, Settled
from outbox.queue.settle import Settlement, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox.database import Link
    from outbox.events import Listener
    from outbox.worker.leases import Leases

_LARGEST_BATCH = 500


class Settler:
    """The worker's one way of ending a claim. While the database is away settlements wait here, leases renewed."""

    def __init__(self, *, link: Link, leases: Leases, worker: int, linger: float, listener: Listener) -> None:
        self._link = link
        self._leases = leases
        self._worker = worker
        self._linger = linger
        self._listener = listener
        self.outcomes: Counter[str] = Counter()
        self._waiting: list[tuple[Settlement, Callable[[], None]]] = []
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._written = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, settlement: Settlement, done: Callable[[], None]) -> None:
        """Take a settlement; `done` is called when it is written."""
        self._waiting.append((settlement, done))
        self._some.set()
        if len(self._waiting) >= _LARGEST_BATCH:
            self._full.set()

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            await self._some.wait()
            await self._let_gather()
            batch = self._waiting[:_LARGEST_BATCH]
            await self._write([settlement for settlement, _ in batch])
            del self._waiting[: len(batch)]
            self._leases.drop(settlement.id for settlement, _ in batch)
            self.outcomes.update(settlement.outcome.name for settlement, _ in batch)
            for _, done in batch:
                done()
            if not self._waiting:
                self._some.clear()
            if len(self._waiting) < _LARGEST_BATCH:
                self._full.clear()
            self._written.set()

    async def drained(self) -> None:
        """Wait until everything is written."""
        while self._waiting:
            self._written.clear()
            await self._written.wait()

    async def _let_gather(self) -> None:
        if self._linger and not self._full.is_set():
            try:
                async with asyncio.timeout(self._linger):
                    await self._full.wait()
            except TimeoutError:
                return

    async def _write(self, batch: Sequence[Settlement]) -> None:
        started = time.monotonic()
        try:
            settled = await self._link.run(lambda conn: settle(conn, batch, worker=self._worker))
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            # A value that PostgreSQL refuses must not hold back the others: halve until it stands alone, and then let
            # its lease run out. `max_lost` ends it.
            if len(batch) == 1:
                self._listener(ChoreFailed("settle", f"{batch[0].id}: {describe(error)}"))
                return
            middle = len(batch) // 2
            await self._write(batch[:middle])
            await self._write(batch[middle:])
        else:
            self._listener(Settled(len(batch), len(batch) - len(settled), time.monotonic() - started))
