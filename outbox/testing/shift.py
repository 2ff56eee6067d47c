"""One round of deliveries: the parts of a worker, without what makes it a process: lifeline, chores, signals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from outbox.config import WorkerConfig
from outbox.worker.feeder import Feeder
from outbox.worker.leases import Leases
from outbox.worker.pausing import Pausing
from outbox.worker.settler import Settler
from outbox.worker.slots import CUT_OFF, Slots
from outbox.worker.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.database import Link
    from outbox.events import Listener
    from outbox.route import Route
    from outbox.testing.bridge import Bridge
    from outbox.worker.pausing import Gate

_LEVELS = tuple(range(10))
# A lease outlasts whoever looks at a test with a debugger. Nothing is renewed here, and nothing lingers.
_SETTINGS = WorkerConfig(lease=86_400.0, concurrency=100, settle_linger=0.0, poll=0.001)


@dataclass(frozen=True, slots=True)
class Round:
    """What a round needs: the connection, who works, and who hears of it."""

    bridge: Bridge
    worker: int
    listener: Listener

    async def deliver(self, routes: Sequence[Route]) -> None:
        """Deliver what is due by these routes, until nothing is that can be sent.

        Raises:
            Exception: whatever went wrong in the engine, or with a statement.
        """
        link = cast("Link", self.bridge)  # all that these parts use of one is `run`
        leases = Leases(_SETTINGS.lease)
        settler = Settler(link=link, leases=leases, worker=self.worker, linger=0.0, listener=self.listener)
        gates = await self._gates(routes, link)
        feeders = [self._feeder(route, link, leases, gates[route.channel]) for route in routes]
        slots = [
            Slots(route=route, feeder=feeder, settler=settler, leases=leases, concurrency=_SETTINGS.concurrency)
            for route, feeder in zip(routes, feeders, strict=True)
        ]
        feeding = {asyncio.create_task(feeder.run()) for feeder in feeders}
        tasks = {asyncio.create_task(settler.run()), *feeding, *(task for each in slots for task in each.tasks)}
        try:
            await _until_done(feeding, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CUT_OFF)

    async def _gates(self, routes: Sequence[Route], link: Link) -> Mapping[str, Gate]:
        """Look once at what is paused: whoever pauses something in a test does it before a drain, or after it."""
        pausing = Pausing(link, routes, self.listener)
        looking = asyncio.create_task(pausing.run())
        known = [asyncio.create_task(gate.known()) for gate in pausing.gates.values()]
        await asyncio.wait([looking, *known], return_when=asyncio.FIRST_COMPLETED)  # gates are all set at once
        for task in (looking, *known):
            task.cancel()
        await asyncio.wait([looking, *known])
        if not looking.cancelled():
            looking.result()
        return pausing.gates

    def _feeder(self, route: Route, link: Link, leases: Leases, gate: Gate) -> Feeder:
        return Feeder(
            gate=gate,
            route=route,
            levels=_LEVELS,
            worker=self.worker,
            link=link,
            leases=leases,
            wakeup=Wakeup(route.channel, self.worker, link, _SETTINGS),
            settings=_SETTINGS,
            drain=True,
        )


async def _until_done(feeding: set[asyncio.Task[None]], tasks: set[asyncio.Task[Any]]) -> None:
    """Return when all feeders have found nothing more, and raise what any part died of."""
    left = set(feeding)
    while left:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        left -= done
        tasks = tasks - done
