"""settler: gathers outcomes for a moment, and writes them in one statement. Nothing it was given is dropped."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from outbox.database import describe
from outbox.events import ChoreFailed, Settled
from outbox.queue.deposit import deposit
from outbox.queue.gather import gather
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement
from outbox.worker.giving_back import give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import AsyncConnection

    from outbox.database import Link
    from outbox.events import Listener
    from outbox.lease import Lease
    from outbox.outcomes import Outcome
    from outbox.worker.leases import Leases

_LARGEST_BATCH = 500
LONGEST_WAIT = 1.0
"""Seconds that a statement may wait for what somebody holds: an application may keep its transaction open."""
_LOCKED_PAUSE = 0.2
_HELD_PAUSE = 3.0
_REFUSED_PAUSE = 30.0
# Whatever it is (a constraint, a trigger of the application's that raises, a right that was taken away): what was sent
# must not be let go of, or it would be sent again.
_REFUSED = (psycopg.Error, ValueError, OverflowError)


class Ended(NamedTuple):
    """How the delivery of what is in hand ended. Times are `time.monotonic()`.

    `done` is called when it is written, with all that were written at once and have the same.
    """

    lease: Lease
    outcome: Outcome
    started: float
    finished: float
    done: Callable[[list[Lease]], None]


_settlement = partial(tuple.__new__, Settlement)  # without a call in Python for each


def _settlements(batch: Sequence[Ended]) -> list[Settlement]:
    """Return what is to be written, under the claims that the leases have by now."""
    return [
        _settlement(((one := lease.claimed).key, one.claim, one.attempt, outcome, started, finished, lease.place))
        for lease, outcome, started, finished, _ in batch
    ]


class Settler:
    """The worker's one way of ending a claim. While the database is away settlements wait here, leases renewed."""

    def __init__(self, *, link: Link, leases: Leases, worker: int, linger: float, listener: Listener) -> None:
        self._link = link
        self._leases = leases
        self._worker = worker
        self._linger = linger
        self._listener = listener
        self._waiting: list[Ended] = []
        self._unwritten = 0
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._written = asyncio.Event()
        self.outcomes: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._unwritten

    def add(self, ended: Ended) -> None:
        """Take an outcome to write."""
        self._unwritten += 1
        waiting = self._waiting
        waiting.append(ended)
        count = len(waiting)
        if count == 1:  # to set what is set costs as much as all the rest
            self._some.set()
        elif count == _LARGEST_BATCH:
            self._full.set()

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            await self._some.wait()
            await self._let_gather()
            batch, self._waiting = self._waiting[:_LARGEST_BATCH], self._waiting[_LARGEST_BATCH:]
            if not self._waiting:
                self._some.clear()
            if len(self._waiting) < _LARGEST_BATCH:
                self._full.clear()
            await self._write(batch)

    async def drained(self) -> None:
        """Wait until everything is written."""
        while self._unwritten:
            self._written.clear()
            await self._written.wait()

    def _add_again(self, ended: Ended) -> None:
        self._unwritten -= 1
        self.add(ended)

    async def _let_gather(self) -> None:
        if self._linger and not self._full.is_set():
            try:
                async with asyncio.timeout(self._linger):
                    await self._full.wait()
            except TimeoutError:
                return

    async def _write(self, batch: Sequence[Ended]) -> None:
        started = time.monotonic()
        settlements = _settlements(batch)
        try:
            settled, locked = await self._link.run(lambda conn: _settle(conn, settlements, self._worker), waits=False)
        except psycopg.errors.LockNotAvailable:
            await self._write_around(batch)
            return
        except _REFUSED as error:
            await self._write_apart(batch, error)
            return
        again = [
            ended.lease
            for ended, one in zip(batch, settlements, strict=True)
            if _is_claimed_again(ended, one) and one.key in settled
        ]
        if again:
            # Settled, due again, and claimed before we heard: a delivery that nobody began. Dropped first: when it is
            # given back, it is claimed, and then it is a lease of its own.
            self._leases.drop(*again)
            await give_back(self._link, again, worker=self._worker)
        stale = 0
        if len(settled) < len(batch):
            batch, stale = self._sorted_out(batch, settlements, settled, locked)
        self._end(batch)
        self._listener(Settled(len(settlements), stale, time.monotonic() - started))

    async def _write_around(self, batch: Sequence[Ended]) -> None:
        """Write what a batch waited for in vain without the one that somebody holds; that one is written later.

        Whoever takes back what was lapsed has written of the same claim, and what they wrote is to be waited for.
        """
        middle = len(batch) // 2
        if middle:
            await self._write(batch[:middle])
            await self._write(batch[middle:])
        else:
            asyncio.get_running_loop().call_later(_HELD_PAUSE, self._add_again, batch[0])

    async def _write_apart(self, batch: Sequence[Ended], error: Exception) -> None:
        """Write what a batch was refused for, without the one value that PostgreSQL does not take.

        Halve until it stands alone.
        """
        quick = any(ended.lease.place for ended in batch)
        for ended in batch:
            ended.lease.place = None
        middle = len(batch) // 2
        if quick:
            await self._write(batch)
        elif middle:
            await self._write(batch[:middle])
            await self._write(batch[middle:])
        else:
            await self._write_refused(batch[0], error)

    async def _write_refused(self, ended: Ended, error: Exception) -> None:
        """Write one without its words, which may be what is not taken; else keep it in hand, and try again later.

        If it were let go, its lease would run out, and it would be sent again and again.
        """
        self._listener(ChoreFailed("settle", f"{ended.lease.claimed.id}: {describe(error)}"))
        plain = ended._replace(outcome=ended.outcome.without_words())
        if plain.outcome != ended.outcome:
            await self._write([plain])
        else:
            asyncio.get_running_loop().call_later(_REFUSED_PAUSE, self._add_again, ended)

    def _sorted_out(
        self, batch: Sequence[Ended], settlements: Sequence[Settlement], settled: set[str], locked: set[str]
    ) -> tuple[list[Ended], int]:
        """Return what has ended, and how much of it was not ours any more; what is to be settled again waits again."""
        over, stale = [], 0
        for ended, settlement in zip(batch, settlements, strict=True):
            if settlement.key in locked:
                ended.lease.place = None  # that it was sent is recorded already, which the quick statement cannot know
                asyncio.get_running_loop().call_later(_LOCKED_PAUSE, self._add_again, ended)
            elif settlement.key not in settled and _is_claimed_again(ended, settlement):
                self._add_again(ended)  # it lapsed, and our own feeder claimed it again while this was written
            else:
                stale += settlement.key not in settled
                over.append(ended)
        return over, stale

    def _end(self, batch: Sequence[Ended]) -> None:
        self.outcomes.update([ended.outcome.name for ended in batch])
        over = defaultdict(list)
        for lease, _, _, _, done in batch:
            over[done].append(lease)
        for done, leases in over.items():
            self._leases.drop(*leases)
            done(leases)
        self._unwritten -= len(batch)
        self._written.set()


def _is_claimed_again(ended: Ended, settlement: Settlement) -> bool:
    return ended.lease.claimed.claim != settlement.claim


async def _settle(
    conn: AsyncConnection[Any], settlements: Sequence[Settlement], worker: int
) -> tuple[set[str], set[str]]:
    """Settle each in its way; what was done when another way fails is done again, and changes nothing."""
    apart = [one for one in settlements if one.outcome.inbox is not None or one.outcome.surplus is not None]
    if not apart:
        return await settle(conn, settlements, worker=worker)
    kept = [one for one in apart if one.outcome.inbox is not None]
    gathered = [one for one in apart if _is_gathered(one.outcome)]
    rest = [one for one in settlements if one.outcome.inbox is None and not _is_gathered(one.outcome)]
    settled: set[str] = set()
    locked: set[str] = set()
    for way, those in ((deposit, kept), (gather, gathered), (settle, rest)):
        if those:
            done, waiting = await way(conn, those, worker=worker)
            settled, locked = settled | done, locked | waiting
    return settled, locked


def _is_gathered(outcome: Outcome) -> bool:
    return outcome.surplus is not None and outcome.surplus.policy == "digest" and outcome.name == "suppressed"
