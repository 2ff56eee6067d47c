"""worker: puts the parts together, and takes them down in an order one can read."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.database import Link
from outbox.errors import NotMigrated
from outbox.events import WorkerStarted, WorkerStopped, WorkerStopping
from outbox.queue import attend
from outbox.queue.release import release
from outbox.worker.chores import run_chores
from outbox.worker.feeder import Feeder
from outbox.worker.leases import Leases
from outbox.worker.lifeline import Lifeline
from outbox.worker.settler import Settler
from outbox.worker.slots import Slots
from outbox.worker.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from outbox.config import WorkerConfig
    from outbox.deliver import Route
    from outbox.events import Listener

_ALL_LEVELS = tuple(range(10))
# After the grace, for what was cut off to be written down.
_LAST_WRITES = 5.0


class _Lane(NamedTuple):
    """One channel's way through the worker."""

    feeder: Feeder
    feeding: asyncio.Task[None]
    slots: Slots


async def _result(future: asyncio.Future[str]) -> None:
    await future


class Worker:
    """One worker process: two connections and a lifeline, whatever the concurrency."""

    def __init__(
        self,
        *,
        url: str,
        routes: Sequence[Route],
        settings: WorkerConfig,
        listener: Listener,
        levels: Sequence[int] = _ALL_LEVELS,
        drain: bool = False,
    ) -> None:
        self._url = url
        self._routes = routes
        self._settings = settings
        self._listener = listener
        self._levels = levels
        self._drain = drain
        self._claims = Link(url, "claim", listener)
        self._settles = Link(url, "settle", listener)
        self._leases = Leases(settings.lease)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Future[str]) -> int:
        """Work until `stop` has a result (why), or, with `drain`, until nothing is due.

        Returns how many settlements could not be written before the grace was over: 0 is a clean stop.

        Raises:
            NotMigrated: the database has no outbox.
            Exception: a defect in a part of the worker; what was in hand comes back by its leases.
        """
        self._worker = await self._enter()
        self._settler = Settler(
            link=self._settles,
            leases=self._leases,
            worker=self._worker,
            linger=self._settings.settle_linger,
            listener=self._listener,
        )
        wakeups = {
            route.channel: Wakeup(route.channel, self._worker, self._claims, self._settings) for route in self._routes
        }
        loop = asyncio.get_running_loop()
        lifeline = Lifeline(
            url=self._url, worker=self._worker, leases=self._leases, wakeups=wakeups, loop=loop, listener=self._listener
        )
        lifeline.start()
        try:
            lanes = [self._open_lane(route, wakeups[route.channel]) for route in self._routes]
            self._listener(WorkerStarted(self._worker, tuple(wakeups)))
            await self._work(lanes, stop)
            return await self._wind_down(lanes, stop, lifeline)
        finally:
            lifeline.stop()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for route in self._routes:
                await route.aclose()
            await self._claims.aclose()
            await self._settles.aclose()

    async def _enter(self) -> int:
        from psycopg.errors import InvalidSchemaName, UndefinedTable  # noqa: PLC0415 - names nobody else here needs

        try:
            return await self._claims.run(lambda conn: attend.enter(conn, [route.channel for route in self._routes]))
        except (InvalidSchemaName, UndefinedTable) as error:
            await self._claims.aclose()
            raise NotMigrated from error

    def _open_lane(self, route: Route, wakeup: Wakeup) -> _Lane:
        feeder = Feeder(
            route=route,
            levels=self._levels,
            worker=self._worker,
            link=self._claims,
            leases=self._leases,
            wakeup=wakeup,
            settings=self._settings,
            drain=self._drain,
        )
        slots = Slots(
            route=route,
            feeder=feeder,
            settler=self._settler,
            leases=self._leases,
            concurrency=self._settings.concurrency,
        )
        self._tasks.update(slots.tasks)
        return _Lane(feeder, self._start(feeder.run(), f"{route.channel} feeder"), slots)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        return task

    async def _work(self, lanes: Sequence[_Lane], stop: asyncio.Future[str]) -> None:
        """Return when it is time to stop; raise what any part died of."""
        self._start(self._settler.run(), "settler")
        self._start(run_chores(self._url, self._listener), "chores")
        stopping = asyncio.create_task(_result(stop), name="stop")
        self._tasks.add(stopping)
        feeding = {lane.feeding for lane in lanes}
        while feeding and not stopping.done():
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                self._tasks.discard(task)
                feeding.discard(task)
                task.result()

    async def _wind_down(self, lanes: Sequence[_Lane], stop: asyncio.Future[str], lifeline: Lifeline) -> int:
        """Stop feeding, let sends end, write it down, give back the rest; leases are renewed all the while."""
        deadline = time.monotonic() + self._settings.grace
        reason = stop.result() if stop.done() else "drained"
        self._listener(WorkerStopping(self._worker, reason, len(self._leases), self._settings.grace))
        for lane in lanes:
            lane.feeder.stop(lane.feeding)
            lane.slots.stop_taking()
        await asyncio.wait([lane.feeding for lane in lanes], timeout=max(deadline - time.monotonic(), 0))
        await asyncio.gather(*(lane.slots.finish(deadline) for lane in lanes))
        released = 0
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0) + _LAST_WRITES):
                await self._settler.drained()
                released = await self._claims.run(
                    lambda conn: release(conn, held=self._leases.tokens(), worker=self._worker)
                )
                lifeline.stop()  # before leaving: its heartbeat would put us on the list again
                await self._claims.run(lambda conn: attend.leave(conn, self._worker))
        except TimeoutError:
            return max(len(self._settler), 1)
        self._listener(WorkerStopped(self._worker, released))
        return 0
