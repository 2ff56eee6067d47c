"""chores: what must be done now and then by somebody, and is done by whichever worker comes first."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from outbox.database import Link, describe
from outbox.defects import Defect, place
from outbox.events import ChoreFailed
from outbox.queue import attend, digest, gauge, limit, measure, tend, turn
from outbox.worker.horizon import Horizon
from outbox.worker.retention import Retention
from outbox.worker.unblocking import Unblocking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from psycopg import AsyncConnection

    from outbox.config import RetentionConfig
    from outbox.events import Listener

_FROZEN = 10.0  # seconds; after so long, the turn of a process that stands still in it passes to another
_BUSY = 1.0
_LONGEST_SLEEP = 60.0  # for those who make a chore due by hand
_SPREAD = 2.0  # so that not all processes of a fleet look at the same moment
_NOT_MIGRATED = 600.0
_AT_ONCE = 0.0
_BATCH = 5_000
_FEW = 500
_PATIENCE = 10.0  # nobody waits for a chore, and it is cut off by the server


class Chore(NamedTuple):
    """`step` is done every so many seconds, in a transaction of its own, by one process of the whole fleet.

    It should take well below a second, waits at most 100 ms for a lock, and is cut off after 20 s. Where there is more
    to do, it returns in how many seconds after its transaction is committed it is to come again. If that is not at
    once, the same process comes again, as long as it lives.
    """

    name: str
    every: float
    step: Callable[[AsyncConnection[Any]], Awaitable[float | None]]


async def ensure_partitions(conn: AsyncConnection[Any]) -> None:
    """Create the partitions of the next 14 days."""
    await conn.execute("SELECT outbox.ensure_partitions()")


async def sweep_workers(conn: AsyncConnection[Any]) -> None:
    """Strike off the workers that vanished."""
    await attend.sweep(conn)


async def forget_limits(conn: AsyncConnection[Any]) -> float | None:
    """Delete the buckets of recipients that were not sent anything for long enough."""
    return _AT_ONCE if await limit.forget(conn, batch=_BATCH) else None


async def close_digests(conn: AsyncConnection[Any]) -> float | None:
    """Make notifications of the digests whose time has come."""
    return _AT_ONCE if await digest.close_due(conn, batch=_FEW) else None


async def tend_throttles(conn: AsyncConnection[Any]) -> float | None:
    """Look at the throttles whose time has come, and delete those that say nothing any more."""
    return _AT_ONCE if await tend.tend(conn, batch=_FEW) else None


async def measure_depths(conn: AsyncConnection[Any]) -> None:
    """Write down how much waits, for whoever wants to know."""
    await measure.measure(conn)


async def gauge_tables(conn: AsyncConnection[Any]) -> None:
    """Write down how the tables and their partitions do."""
    await gauge.gauge(conn)


CHORES = (
    Chore("ensure_partitions", 600.0, ensure_partitions),
    Chore("sweep_workers", 60.0, sweep_workers),
    Chore("forget_limits", 600.0, forget_limits),
    Chore("close_digests", 5.0, close_digests),
    Chore("tend_throttles", 15.0, tend_throttles),
    Chore("measure_depths", 15.0, measure_depths),
    Chore("gauge_tables", 30.0, gauge_tables),
)
_UNBLOCK_EVERY = 5.0
_LOOK_AT_HORIZON_EVERY = 20.0


def chores_with(retention: RetentionConfig | None, listener: Listener) -> tuple[Chore, ...]:
    """Return every chore: where there is a policy of retention, with the one that follows it."""
    chores = (
        *CHORES,
        Chore("unblock", _UNBLOCK_EVERY, Unblocking().step),
        Chore("look_at_horizon", _LOOK_AT_HORIZON_EVERY, Horizon(listener).step),
    )
    if retention is None:
        return chores
    return (*chores, Chore("retention", 3_600.0, Retention(retention, listener).step))


class _Failed(Exception):
    def __init__(self, chore: Chore, error: Exception) -> None:
        super().__init__(_problem(error))
        self.chore = chore
        self.problem = _problem(error)
        self.defect = None if isinstance(error, psycopg.Error) else Defect.of(error)


async def run_chores(url: str, listener: Listener, chores: Sequence[Chore] = CHORES) -> None:
    """Look whether a chore is due, do it unless another process does, sleep until the next is due; until cancelled.

    The connection is made for the occasion: a worker keeps none for this, and no claim ever waits behind a chore.
    """
    link = Link(url, "chores", listener, patience=_PATIENCE)
    try:
        await _go_round(link, listener, _Rounds(chores))
    finally:
        await link.aclose()


async def _go_round(link: Link, listener: Listener, rounds: _Rounds) -> None:
    while True:
        try:
            pause = await link.run(rounds.look)
        except _Failed as failure:
            pause = await _tell(link, listener, failure)
        except psycopg.Error as error:
            listener(ChoreFailed("chores", describe(error)))  # `outbox migrate` has yet to make their table
            pause = _NOT_MIGRATED
        if pause and not rounds.ours:
            await link.aclose()
            pause += random.uniform(0, min(pause, _SPREAD))
        await asyncio.sleep(pause)


class _Rounds:
    """What one process does of all chores. `ours` are those that it is in the middle of."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = {chore.name: chore for chore in chores}
        self._periods = {chore.name: chore.every for chore in chores}
        self.ours: set[str] = set()

    async def look(self, conn: AsyncConnection[Any]) -> float:
        """Take one turn, if there is one to take; return in how many seconds to look again.

        A hundred workers look together about as often as one alone would: to look costs a connection.
        """
        _, pause, workers = await turn.find_next(conn, self._periods, ours=self.ours)
        if pause > 0 and self.ours:
            return pause
        if pause > 0:
            return min(max(pause, random.uniform(0, 2 * pause * (workers - 1))), _LONGEST_SLEEP)
        chore = None
        try:
            async with conn.transaction():
                if not await turn.take(conn, frozen=_FROZEN):
                    return _BUSY
                name, pause, _ = await turn.find_next(conn, self._periods, ours=self.ours)
                if pause == 0:  # and it was not done since we looked
                    chore = self._chores[name]
                    await self._do(conn, chore)
        except Exception as error:
            self.ours.clear()
            if chore is None:
                raise
            raise _Failed(chore, error) from error
        return 0.0

    async def _do(self, conn: AsyncConnection[Any], chore: Chore) -> None:
        more = await chore.step(conn)
        if more:
            self.ours.add(chore.name)
            await turn.keep(conn, chore.name, pause=more)
        else:
            self.ours.discard(chore.name)
            await turn.done(conn, chore.name, pause=chore.every if more is None else _AT_ONCE)


async def _tell(link: Link, listener: Listener, failure: _Failed) -> float:
    chore, problem = failure.chore, failure.problem
    listener(ChoreFailed(chore.name, problem, failure.defect))
    try:
        await link.run(lambda conn: turn.failed(conn, chore.name, every=chore.every, problem=problem))
    except psycopg.Error as error:
        listener(ChoreFailed("chores", describe(error)))
        return _LONGEST_SLEEP
    return 0.0


def _problem(error: Exception) -> str:
    """Say what happened, without a value of a row; of a defect of ours, where it is."""
    return describe(error) if isinstance(error, psycopg.Error) else place(error)
