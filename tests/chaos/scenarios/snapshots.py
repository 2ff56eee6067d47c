"""Snapshots that somebody holds open for long, so that PostgreSQL can remove nothing that was claimed and settled."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import quantiles
from typing import TYPE_CHECKING, Self

import psycopg
from psycopg import IsolationLevel

from outbox.events import Claimed, HorizonHeld
from tests.chaos.scenario import scenario
from tests.recorder import Recorder, route, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.events import Event
    from outbox.messages import Notification
    from tests.chaos.application import Application
    from tests.chaos.stage import Stage

_READERS = 3
_WARNED_WITHIN = 60.0
_LOOK_EVERY = 0.05
# In no order, so that each of them costs a visit to another page, as those that were claimed and settled do.
_LITTER = """
INSERT INTO outbox.queue (id, run_at, priority, channel)
SELECT id, now() - random() * interval '1 second', 5, 'http' FROM litter
"""
_MARGIN = 0.2  # seconds around the moment when the snapshot was taken


@contextmanager
def held_snapshot(url: str) -> Iterator[int]:
    """Hold a REPEATABLE READ transaction open, as a backup does; gives its process id."""
    with psycopg.connect(url) as reader:
        reader.isolation_level = IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM outbox.workers")
        yield reader.info.backend_pid


def litter(url: str, count: int) -> None:
    """Leave dead rows where a claim begins to look: it must step over them while an older snapshot is held.

    Nobody ever sees them alive: they come and go in one transaction.
    """
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TEMP TABLE litter (id uuid) ON COMMIT DROP")
        conn.execute("INSERT INTO litter SELECT outbox.uuid7() FROM generate_series(1, %s)", [count])
        conn.execute(_LITTER)
        conn.execute("DELETE FROM outbox.queue q USING litter l WHERE q.id = l.id")


class Consumer:
    """Use it as a context manager: a worker in a thread, which delivers to the ledger and times its claims."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Future[str] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="consumer")
        self.claims: list[tuple[float, float]] = []
        """When each claim that brought something ended (`time.monotonic()`), and the seconds that it took."""
        self.warned: dict[int, float] = {}
        """When the worker first said that this process holds a transaction open."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set_result, "the scenario is over")
        self._thread.join()
        self._loop.close()

    def slowest(self, since: float, until: float, share: float) -> float:
        """Return how long the slowest claims took between two moments: this share of them took longer."""
        took = [seconds for at, seconds in self.claims if since <= at <= until]
        return quantiles(took, n=round(1 / share))[-1]

    def _run(self) -> None:
        way = route(Recorder(self._deliver), channel="http")
        way.listener = self._listen
        self._loop.run_until_complete(worker(self._stage.url, way).run(self._stop))

    async def _deliver(self, notification: Notification) -> None:
        self._stage.ledger.deliver(str(notification.id))

    def _listen(self, event: Event) -> None:
        if isinstance(event, Claimed):
            self.claims.append((time.monotonic(), event.seconds))
        elif isinstance(event, HorizonHeld):
            self.warned.setdefault(event.pid, time.monotonic())


@scenario(7, "snapshots are held open for minutes")
def held_snapshots(stage: Stage) -> None:
    rate = stage.pick(reduced=300, full=800)
    alone = stage.pick(reduced=1.5, full=30.0)
    held = stage.pick(reduced=2.5, full=600.0)
    read = stage.pick(reduced=held / 2, full=120.0)
    dead = stage.pick(reduced=40_000, full=0)
    share = stage.pick(reduced=0.05, full=0.01)  # of few claims, one in a hundred is the first to look at everything
    with Consumer(stage) as consumer, stage.application(rate=rate, channels={"http": 1}) as application:
        stage.say("without a snapshot")
        warm = time.monotonic() + alone / 3
        time.sleep(alone)
        with held_snapshot(stage.url) as holder, _readers(stage.url, held, read):
            litter(stage.url, dead)
            began = time.monotonic()
            before = application.enqueued, len(stage.ledger.deliveries)
            backlog = _watch(stage, application, held)
            came = application.enqueued - before[0]
            went = len(stage.ledger.deliveries) - before[1]
        ended = began + held
        application.finish()
        stage.settle(timeout=30)
    # Reduced, it runs beside other tests, and what is on its way at the end is a large share of so little.
    stage.at_least(stage.pick(reduced=80, full=95), "delivered of what came", 100 * went / came, " %")
    stage.at_most(stage.pick(reduced=2, full=1), "the longest backlog, in seconds of load", backlog / rate)
    usual = max(consumer.slowest(warm, began - _MARGIN, share), stage.pick(reduced=0.01, full=0.0))
    slow = consumer.slowest(began, ended, share)
    stage.at_most(3, f"claim p{100 - 100 * share:.0f} against that without", slow / usual, " times")
    if held > _WARNED_WITHIN:
        stage.at_most(_WARNED_WITHIN, "seconds until it is named", consumer.warned.get(holder, math.inf) - began)
    stage.note(f"claim p{100 - 100 * share:.0f}: {usual * 1_000:.1f} ms without, {slow * 1_000:.1f} ms with a snapshot")
    stage.account(orders=True)
    stage.ran(
        f"{alone:g} s without, {held:g} s with a snapshot and {_READERS} more readers of {read:g} s each, at "
        f"{rate}/s, {dead:,} dead rows"
    )


def _watch(stage: Stage, application: Application, seconds: float) -> int:
    """Return the longest backlog of so many seconds."""
    longest, ends = 0, time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        longest = max(longest, application.enqueued - len(stage.ledger.deliveries))
        stage.say(f"{left:.0f} s to go, {longest:,} was the longest backlog")
        time.sleep(_LOOK_EVERY)
    return longest


@contextmanager
def _readers(url: str, seconds: float, each: float) -> Iterator[None]:
    """Run readers that overlap, each of which takes a new snapshot after a while, for so many seconds."""
    ends = time.monotonic() + seconds

    def read(number: int) -> None:
        time.sleep(number * each / _READERS)
        while (left := ends - time.monotonic()) > 0:
            with held_snapshot(url):
                time.sleep(min(each, left))

    with ThreadPoolExecutor(_READERS) as readers:
        done = [readers.submit(read, number) for number in range(_READERS)]
        yield
    for one in done:
        one.result()
