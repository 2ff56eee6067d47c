"""Urgent traffic that never ends, and bulk that must get through all the same."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import defaultdict
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import psycopg

import outbox
from outbox.messages import Receipt
from tests.chaos.scenario import scenario
from tests.recorder import Recorder, route, worker
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from outbox.messages import Notification
    from tests.chaos.stage import Stage

_CONCURRENCY = 8
_TOOK = 0.02
_WAITING = 300  # urgent ones at any time: three quarters of a second of work
_WARM_UP = 0.2  # the share of a run that is not counted
_TOP_UP = 0.05


class Forgetful(Recorder):
    """Counts what it is given, of which there is too much in an hour to remember it."""

    def __init__(self, deliver: Callable[[Notification], Awaitable[None]]) -> None:
        super().__init__()
        self._deliver = deliver
        self.taken = 0

    async def send(self, message: Notification, key: str) -> Receipt:
        await self._deliver(message)
        self.taken += 1
        return Receipt(key)


class Traffic:
    """Keeps so many urgent notifications waiting that the worker is never done, and mixes bulk into them."""

    def __init__(self, stage: Stage, bulk: float) -> None:
        self._url = stage.url
        self._random = stage.random
        self._bulk = bulk
        self._enqueued = 0
        self._provider = Forgetful(self._take)
        self._committed: dict[UUID, float] = {}
        self._begun: dict[UUID, tuple[int, float]] = {}
        self._waits: defaultdict[int, tuple[array[float], array[float]]] = defaultdict(lambda: (array("d"), array("d")))
        """Priority → when each was committed, and how long it then waited."""

    async def run(self, seconds: float) -> None:
        """Run it beside one worker, for so long and until all of it is sent."""
        stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        way = route(self._provider, channel="http")
        working = asyncio.create_task(worker(self._url, way, concurrency=_CONCURRENCY).run(stop))
        ends = time.monotonic() + seconds
        with psycopg.connect(self._url) as conn:
            while time.monotonic() < ends:
                await asyncio.to_thread(self._top_up, conn)
                self._pair()
                await asyncio.sleep(_TOP_UP)
        await await_until(lambda: self._provider.taken == self._enqueued, timeout=30)
        stop.set_result("the scenario is over")
        assert await working == 0

    def waited(self, *, priority: int) -> list[float]:
        """Return the seconds from the commit to the send, without those from the time of warming up."""
        self._pair()
        moments, waits = self._waits[priority]
        if not moments:
            return []
        first, last = min(moments), max(moments)
        return [wait for at, wait in zip(moments, waits, strict=True) if at >= first + _WARM_UP * (last - first)]

    async def _take(self, notification: Notification) -> None:
        self._begun[notification.id] = notification.priority, time.monotonic()
        await asyncio.sleep(_TOOK)

    def _pair(self) -> None:
        """Let go of those of which both is known: when they were committed, and when they were sent."""
        for identity in self._committed.keys() & self._begun.keys():
            at, (level, begun) = self._committed.pop(identity), self._begun.pop(identity)
            moments, waits = self._waits[level]
            moments.append(at)
            waits.append(begun - at)

    def _top_up(self, conn: psycopg.Connection[Any]) -> None:
        missing = _WAITING - (self._enqueued - self._provider.taken)
        levels = ["bulk" if self._random.random() < self._bulk else "urgent" for _ in range(missing)]
        drafts = [{"channel": "http", "recipient": "x", "priority": level} for level in levels]
        made = outbox.enqueue_many(conn, drafts)
        conn.commit()
        now = time.monotonic()
        self._committed |= dict.fromkeys((each.id for each in made), now)
        self._enqueued += len(made)


@scenario(33, "urgent traffic saturates the worker, and one in a hundred is bulk")
def bulk_beside_urgent(stage: Stage) -> None:
    alone = stage.pick(reduced=2.0, full=60.0)
    seconds = stage.pick(reduced=3.0, full=3_600.0)
    stage.say("urgent alone")
    baseline = Traffic(stage, 0.0)
    asyncio.run(baseline.run(alone))
    stage.say("with bulk")
    mixed = Traffic(stage, 0.01)
    asyncio.run(mixed.run(seconds))
    before, after = (_p99(traffic.waited(priority=outbox.PRIORITIES["urgent"])) for traffic in (baseline, mixed))
    bulk = mixed.waited(priority=outbox.PRIORITIES["bulk"])
    stage.at_least(1, "bulk messages", len(bulk))
    stage.at_most(stage.pick(reduced=6, full=60), "the longest wait of a bulk message", max(bulk, default=0.0), " s")
    # Reduced, it runs beside other tests: a hiccup of theirs must not look like ours.
    worse = stage.pick(reduced=200, full=10)
    stage.at_most(worse, "urgent p99 worsens", 100 * (after / before - 1), " %")
    stage.note(f"urgent p99 {before * 1_000:,.0f} ms alone, {after * 1_000:,.0f} ms beside {len(bulk):,} of bulk")
    stage.ran(f"{alone:g} s without bulk, {seconds:g} s with 1 %, {_WAITING} waiting at any time")


def _p99(waits: list[float]) -> float:
    return quantiles(waits, n=100)[98]
