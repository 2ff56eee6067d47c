"""ready: what was claimed and waits for a slot, and the slots that wait for work."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from outbox.lease import Lease

# A provider that never really waits would otherwise keep the loop to itself until all is sent, and claims and settles
# would wait for it instead of running beside it.
_IN_A_ROW = 50


class Ready:
    """A queue for very many takers. Waking a task costs as much as a quick delivery, so few are woken at first.

    Who is awake takes one after another without being woken again, which is all that quick deliveries need. While
    there is still more for those who sleep, twice as many are woken in each turn of the loop.
    """

    def __init__(self) -> None:
        self._leases: deque[Lease] = deque()
        self._asleep: list[asyncio.Future[None]] = []
        self._burst = 0
        self._row = 0
        self._loop = asyncio.get_running_loop()  # asked for once: before Python 3.12 that is a system call

    def __len__(self) -> int:
        return len(self._leases)

    def put(self, leases: Iterable[Lease]) -> None:
        """Add what was claimed."""
        self._leases.extend(leases)
        if self._burst == 0:
            self._burst = 1
            self._wake()

    def take(self) -> Lease | None:
        """Take the first, if there is one and it is not the turn of others; or else `get` it."""
        self._row += 1
        return self._leases.popleft() if self._leases and self._row < _IN_A_ROW else None

    async def get(self) -> Lease:
        """Take the first, when there is one."""
        if self._row >= _IN_A_ROW:
            self._row = 0
            await asyncio.sleep(0)
        while not self._leases:
            sleep: asyncio.Future[None] = self._loop.create_future()
            self._asleep.append(sleep)
            await sleep
        return self._leases.popleft()

    def _wake(self) -> None:
        count = min(self._burst, len(self._leases))
        while count and self._asleep:
            sleep = self._asleep.pop()
            if not sleep.done():
                sleep.set_result(None)
                count -= 1
        if self._leases and self._asleep:
            self._burst *= 2
            self._loop.call_soon(self._wake)
        else:
            self._burst = 0
