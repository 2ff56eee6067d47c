"""Urgent traffic that never ends, and bulk that must get through all the same."""

from __future__ import annotations

import asyncio
import time
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import psycopg

import outbox
from tests.chaos.scenario import scenario
from tests.recorder import Recorder, route, worker
from tests.waiting import await_until

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.messages import Notification
    from tests.chaos.stage import Stage

_CONCURRENCY = 8
_TOOK = 0.02
_WAITING = 300  # urgent ones at any time: three quarters of a second of work
_WARM_UP = 0.2  # the share of a run that is not counted
_TOP_UP = 0.05


class Traffic:
    """Keeps so many urgent notifications waiting that the worker is never done, and mixes bulk into them."""

    def __init__(self, stage: Stage, bulk: float) -> None:
        self._url = stage.url
        self._random = stage.random
        self._bulk = bulk
        self._enqueued = 0
        self._provider = Recorder(self._take)
        self._committed: dict[UUID, tuple[int, float]] = {}
        self._begun: dict[UUID, float] = {}

    async def run(self, seconds: float) -> None:
        """Run it beside one worker, for so long and until all of it is sent."""
        stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        way = route(self._provider, channel="push")
        working = asyncio.create_task(worker(self._url, way, concurrency=_CONCURRENCY).run(stop))
        ends = time.monotonic() + seconds
        with psycopg.connect(self._url) as conn:
            while time.monotonic() < ends:
                await asyncio.to_thread(self._top_up, conn)
                await asyncio.sleep(_TOP_UP)
        await await_until(lambda: len(self._provider.sent) == self._enqueued, timeout=30)
        stop.set_result("the scenario is over")
        assert await working == 0

    def waited(self, *, priority: int) -> list[float]:
        """Return the seconds from the commit to the send, without those from the time of warming up."""
        waits = [
            (at, self._begun[identity] - at) for identity, (level, at) in self._committed.items() if level == priority
        ]
        if not waits:
            return []
        first, last = min(at for at, _ in waits), max(at for at, _ in waits)
        return [wait for at, wait in waits if at >= first + _WARM_UP * (last - first)]

    async def _take(self, notification: Notification) -> None:
        self._begun[notification.id] = time.monotonic()
        await asyncio.sleep(_TOOK)

    def _top_up(self, conn: psycopg.Connection[Any]) -> None:
        missing = _WAITING - (self._enqueued - len(self._provider.sent))
        levels = ["bulk" if self._random.random() < self._bulk else "urgent" for _ in range(missing)]
        drafts = [{"channel": "push", "recipient": "x", "priority": level} for level in levels]
        made = outbox.enqueue_many(conn, drafts)
        conn.commit()
        now = time.monotonic()
        self._committed |= {each.id: (outbox.PRIORITIES[level], now) for each, level in zip(made, levels, strict=True)}
        self._enqueued += len(made)


@scenario(33, "urgent traffic saturates the worker, and one in a hundred is bulk")
def bulk_beside_urgent(stage: Stage) -> None:
    alone = stage.pick(reduced=2.0, full=60.0)
    seconds = stage.pick(reduced=3.0, full=220.0)
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
