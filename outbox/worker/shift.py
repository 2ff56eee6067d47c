"""shift: a registered worker's parts, put together, and taken down in an order one can read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.events import WorkerStarted, WorkerStopped, WorkerStopping
from outbox.queue import attend
from outbox.route import providers_of
from outbox.worker import pausing
from outbox.worker.chores import chores_with, run_chores
from outbox.worker.feeder import Feeder
from outbox.worker.giving_back import give_back
from outbox.worker.leases import Leases
from outbox.worker.lifeline import Lifeline
from outbox.worker.reporting import Reporting
from outbox.worker.scheduling import CHANGED, Scheduling
from outbox.worker.settler import Settler
from outbox.worker.slots import CUT_OFF, Slots
from outbox.worker.spans import find_spans
from outbox.worker.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from outbox.config import RetentionConfig, WorkerConfig
    from outbox.database import Link
    from outbox.events import Listener
    from outbox.route import Route
    from outbox.worker.spans import Spans

# After the grace, for what was cut off to be written down.
_LAST_WRITES = 5.0


class _Lane(NamedTuple):
    """One channel's way through the worker."""

    feeder: Feeder
    feeding: asyncio.Task[None]
    slots: Slots


class Shift:
    """From the registration of a worker to its leaving."""

    def __init__(
        self,
        *,
        url: str,
        worker: int,
        claims: Link,
        settles: Link,
        routes: Sequence[Route],
        settings: WorkerConfig,
        listener: Listener,
        levels: Sequence[int],
        drain: bool,
        retention: RetentionConfig | None,
    ) -> None:
        self._url = url
        self._worker = worker
        self._claims = claims
        self._settings = settings
        self._levels = levels
        self._drain = drain
        self._retention = retention
        self._tasks: set[asyncio.Task[None]] = set()
        self._leases = Leases(settings.lease)
        reporting = Reporting(leases=self._leases, concurrency=settings.concurrency, levels=levels, drain=drain)
        self._listener = listener
        self._routes = [route.told_to(reporting.before(route.listener)) for route in routes]
        self._settler = Settler(
            link=settles, leases=self._leases, worker=worker, linger=settings.settle_linger, listener=listener
        )
        self._wakeups = {route.channel: Wakeup(route.channel, worker, claims, settings) for route in routes}
        self._scheduling = Scheduling(url, claims, listener)
        self._pausing = pausing.Pausing(claims, self._routes, listener)
        self._lifeline = self._make_lifeline(url, reporting)

    def _make_lifeline(self, url: str, reporting: Reporting) -> Lifeline:
        return Lifeline(
            url=url,
            worker=self._worker,
            leases=self._leases,
            wakeups=self._wakeups,
            reporting=reporting,
            loop=asyncio.get_running_loop(),
            listener=self._listener,
            longest_attempt=max(route.policy.timeout for route in self._routes),
            hints={CHANGED: self._scheduling.hint, pausing.CHANGED: self._pausing.hint},
            providers=providers_of(self._routes),
        )

    async def run(self, stop: asyncio.Future[str]) -> int:
        """Work until `stop`, or until everything is drained; return 0 if all of it is settled or given back."""
        self._lifeline.start()
        try:
            spans = find_spans()
            lanes = [self._open_lane(route, spans) for route in self._routes]
            self._listener(WorkerStarted(self._worker, tuple(self._wakeups)))
            try:
                await self._work(lanes, stop)
            except Exception:
                # What is being sent must still end and be written down, before whoever started us hears of the defect.
                await self._wind_down(lanes, "a part of it failed")
                raise
            return await self._wind_down(lanes, stop.result() if stop.done() else "drained")
        finally:
            self._lifeline.stop()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=CUT_OFF)

    def _open_lane(self, route: Route, spans: Spans | None) -> _Lane:
        feeder = Feeder(
            route=route,
            levels=self._levels,
            worker=self._worker,
            link=self._claims,
            leases=self._leases,
            wakeup=self._wakeups[route.channel],
            gate=self._pausing.gates[route.channel],
            settings=self._settings,
            drain=self._drain,
        )
        slots = Slots(
            route=route,
            feeder=feeder,
            settler=self._settler,
            leases=self._leases,
            concurrency=self._settings.concurrency,
            spans=spans,
        )
        self._tasks.update(slots.tasks)
        return _Lane(feeder, self._start(feeder.run()), slots)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    async def _work(self, lanes: Sequence[_Lane], stop: asyncio.Future[str]) -> None:
        """Return when it is time to stop; raise what any part died of."""
        self._settling = self._start(self._settler.run())
        self._start(run_chores(self._url, self._listener, chores_with(self._retention, self._listener)))
        self._start(self._scheduling.run())
        self._start(self._pausing.run())
        stopping = self._start(_done(stop))
        feeding = {lane.feeding for lane in lanes}
        while feeding and not stopping.done():
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            self._tasks -= done
            feeding -= done
            for task in done:
                task.result()

    async def _wind_down(self, lanes: Sequence[_Lane], reason: str) -> int:
        """Stop feeding, let sends end, write it down, give back the rest; leases are renewed all the while."""
        deadline = time.monotonic() + self._settings.grace
        self._listener(WorkerStopping(self._worker, reason, len(self._leases), self._settings.grace))
        for lane in lanes:
            lane.feeder.stop(lane.feeding)
            lane.slots.stop_taking()
        await asyncio.wait([lane.feeding for lane in lanes], timeout=max(deadline - time.monotonic(), 0))
        await asyncio.gather(*(lane.slots.finish(deadline) for lane in lanes))
        for lane in lanes:
            lane.slots.keep_back(self._leases.not_begun())
        released = 0
        with contextlib.suppress(TimeoutError):  # the database is away, or somebody keeps a row locked
            async with asyncio.timeout(max(deadline - time.monotonic(), 0) + _LAST_WRITES):
                released = await self._give_back()
                if not self._settling.done():
                    await self._settler.drained()
        self._lifeline.stop()  # before leaving: its heartbeat would put us on the list again
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CUT_OFF):
                await self._claims.run(lambda conn: attend.leave(conn, self._worker))
        self._listener(WorkerStopped(self._worker, released, dict(self._settler.outcomes)))
        return len(self._leases) + sum(lane.feeder.gave_up for lane in lanes)

    async def _give_back(self) -> int:
        leases = self._leases.not_begun()
        released = await give_back(self._claims, leases, worker=self._worker)
        self._leases.drop(*leases)
        return released


async def _done(future: asyncio.Future[str]) -> None:
    await future
