"""feeder: claims as many as there is room for, and hands them to the slots."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.events import Claimed as ClaimedEvent
from outbox.queue.claim import SUSPICIOUS, Claimed, claim
from outbox.queue.limit import reserve
from outbox.worker.allowance import Allowance
from outbox.worker.giving_back import give_back
from outbox.worker.marks import Marks
from outbox.worker.pace import Pace
from outbox.worker.ready import Ready
from outbox.worker.throttling import throttle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection

    from outbox.config import WorkerConfig
    from outbox.database import Link
    from outbox.lease import Lease
    from outbox.route import Route
    from outbox.worker.leases import Leases
    from outbox.worker.pausing import Gate
    from outbox.worker.wakeup import Wakeup

_LARGEST_CLAIM = 500
# Every tenth claim looks at the priorities from the bottom up, so that bulk drains slowly under any load, but drains.
_RESERVED_TURN = 10
# While there are many suspects: one to keep, and one to see that there are more. Each look gives back what it brought.
_FEW = 2


class Feeder:
    """One channel's: keeps `ready` filled, a little ahead of the slots."""

    def __init__(
        self,
        *,
        route: Route,
        levels: Sequence[int],
        worker: int,
        link: Link,
        leases: Leases,
        wakeup: Wakeup,
        gate: Gate,
        settings: WorkerConfig,
        drain: bool,
    ) -> None:
        self._route = route
        self._levels = sorted(levels)
        self._worker = worker
        self._link = link
        self._leases = leases
        self._wakeup = wakeup
        self._gate = gate
        self._settings = settings
        self._drain = drain
        self._prefetch = settings.concurrency if settings.prefetch is None else settings.prefetch
        self._in_hand = 0
        self._suspects: set[Lease] = set()
        self._many_suspects = False
        self.gave_up = False
        self._turn = 0
        self._marks = Marks()
        self._pace = Pace()
        self._allowance = Allowance(link, route)
        self._claiming = False
        self._stopping = False
        self._freed = asyncio.Event()
        self.ready = Ready()

    def freed(self, leases: Sequence[Lease]) -> None:
        """Note that these have left this worker's hands."""
        self._in_hand -= len(leases)
        self._pace.ended(len(leases))
        if self._suspects:
            self._suspects.difference_update(leases)
        self._freed.set()

    def stop(self, task: asyncio.Task[None]) -> None:
        """End `task`, which runs this feeder. A claim under way is let through: its rows would be leased to nobody."""
        self._stopping = True
        if not self._claiming:
            task.cancel()

    async def run(self) -> None:
        """Feed until stopped; with `drain`, until nothing is due, or can be sent, and nothing is in hand."""
        await self._gate.known()
        while True:
            room = await self._room()
            if room == 0:
                self.gave_up = True
                return
            room = await self._allowance.of(room)
            if self._gate.is_shut:
                continue  # it was paused while we waited for a token
            idle = self._in_hand == 0
            found = await self._claim(room)
            if self._stopping:
                return
            if found:
                await self._wakeup.found()
            elif not self._drain:
                await self._wakeup.wait()
            elif idle and self._marks.was_sweep:
                return  # idle when we asked, too: what ended since may have left something due, or made way for it
            elif self._in_hand:
                await self._wait_for_freed()
            else:
                self._marks.sweep_next()

    async def _room(self) -> int:
        """Wait until half of what is held ahead is missing, and no hold stands in the way; return how many to claim.

        A drain waits for no hold and no pause to end, but only for what is in hand: then there is no room, for good.
        """
        while True:
            closed = self._route.holds.closed_for() or float(self._gate.is_shut)
            ahead = self._pace.ahead(self._prefetch)
            free = self._settings.concurrency + ahead - self._in_hand
            if closed > 0 and self._drain:
                if self._in_hand == 0:
                    return 0
                await self._wait_for_freed()
            elif self._gate.is_shut:
                await self._gate.opened()
            elif closed > 0:
                await asyncio.sleep(min(closed, 1.0))
            elif len(self.ready) and self._route.holds.all_held():
                await asyncio.sleep(self._settings.poll)  # a probe is under way to a slot; the next would be put off
            elif free >= max(ahead // 2, 1):
                return 1 if self._route.holds.all_held() else min(free, _LARGEST_CLAIM)
            else:
                await self._wait_for_freed()

    async def _quarantined(self, leases: list[Lease]) -> list[Lease]:
        """Keep one suspect in hand at most, and give back the others before anything is sent.

        A message that kills its worker takes along what is in hand beside it. Twice may be bad luck; what was there
        twice is from then on alone among suspects, so that the third time names the one that does it.
        """
        suspects = [lease for lease in leases if lease.claimed.lost >= SUSPICIOUS]
        kept, surplus = suspects[:1], suspects[1:]
        self._suspects.update(kept)
        self._many_suspects = bool(surplus) or (self._many_suspects and bool(kept))
        if surplus:
            await give_back(self._link, surplus, worker=self._worker)
            self._leases.drop(*surplus)
            leases = [lease for lease in leases if lease not in surplus]
        return leases

    async def _put_off(self, leases: Sequence[Lease]) -> None:
        """Note on each whose recipient may not be sent another now what is to become of it."""
        await self._reserve(leases)
        await throttle(self._link, self._route, leases)

    async def _reserve(self, leases: Sequence[Lease]) -> None:
        """Take a token of each recipient's for what is claimed for the first time; it keeps it from then on."""
        rate, patience = self._route.policy.recipient_rate, self._route.policy.max_age
        if rate is None:
            return
        first = [lease for lease in leases if lease.claimed.wants_token()]
        if not first:
            return
        recipients = [str(lease.claimed.recipient) for lease in first]
        take = partial(reserve, recipients=recipients, channel=self._route.channel, rate=rate, patience=patience)
        try:
            waits = await self._link.run(take, waits=False)
        except psycopg.errors.LockNotAvailable:
            waits = await self._link.run(partial(take, around=True))
        for lease, wait in zip(first, waits, strict=True):
            lease.over_rate = wait

    async def _wait_for_freed(self) -> None:
        self._freed.clear()
        await self._freed.wait()

    async def _claim(self, limit: int) -> list[Claimed]:
        self._turn += 1
        levels = self._levels if self._turn % _RESERVED_TURN else self._levels[::-1]
        with_suspects = not self._suspects
        limit = min(limit, _FEW) if self._many_suspects and with_suspects else limit
        asked_at = 0.0

        async def ask(conn: AsyncConnection[Any]) -> list[Claimed]:
            nonlocal asked_at
            asked_at = self._leases.ask(self._route.channel, levels)
            return await claim(
                conn,
                channel=self._route.channel,
                levels=levels,
                limit=limit,
                lease=self._leases.seconds,
                worker=self._worker,
                suspects=with_suspects,
                ages=self._marks.ages(levels, asked_at),
                senders=self._route.senders,
                transactional=self._route.transactional,
            )

        self._claiming = True
        try:
            rows = await self._link.run(ask)
            new = self._leases.take(rows, asked_at, self._route.channel)
            if with_suspects:
                self._marks.found(rows, levels, limit, asked_at, time.monotonic())
                new = await self._quarantined(new)
            await self._put_off(new)
        finally:
            self._claiming = False
        self._in_hand += len(new)
        self._route.tokens.claimed(len(rows), to_send=len(new))
        self.ready.put(new)
        if rows:
            lost = sum(by != self._worker for row in rows if (by := row.lost_by) is not None)
            self._route.listener(ClaimedEvent(self._route.channel, len(rows), lost, time.monotonic() - asked_at))
        return rows
