"""Everything that writes many rows at once, by many sessions, on the same rows."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

import outbox
from outbox.outcomes import Dead, Failure, Retry, Sent
from outbox.queue.claim import claim
from outbox.queue.discard import discard
from outbox.queue.release import release
from outbox.queue.renew import renew
from outbox.queue.replay import replay
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement
from tests.chaos.scenario import scenario
from tests.hands import EVERY_LEVEL, rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from outbox.outcomes import Outcome
    from outbox.queue.claim import Claimed
    from tests.chaos.stage import Stage

T = TypeVar("T")

_SHARED = 1_000
_BATCH = 50
_GROUPS = 10
_LEASE = 0.2
_TURNS = 4
_FAILURE = Failure("temporary", "451", "not yet")
_OUTCOMES: Sequence[Outcome] = (
    Sent(provider="smtp"),
    Retry(provider="smtp", failure=_FAILURE, delay=0.0),
    Dead(provider="smtp", failure=_FAILURE, reason="exhausted"),
)


@dataclass
class Pool:
    """What the sessions of one pool take their rows from; shared by all of them, or each has its own."""

    channel: str
    groups: int = _GROUPS
    claimed: deque[Claimed] = field(default_factory=lambda: deque(maxlen=_SHARED))
    letters: deque[UUID] = field(default_factory=lambda: deque(maxlen=_SHARED))
    next_key: int = 0


class Session:
    """One session, which does one bulk operation after another; all its choices come from its seed."""

    def __init__(self, url: str, pool: Pool, worker: int, seed: int) -> None:
        self._url = url
        self._pool = pool
        self._worker = worker
        self._random = Random(seed)
        self.done: Counter[str] = Counter()
        self.deadlocks: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        """Work for so long."""
        operations = {
            self._enqueue: 2,
            self._claim: 4,
            self._settle: 4,
            self._renew: 1,
            self._release: 1,
            self._cancel: 2,
            self._replay: 2,
            self._discard: 2,
        }
        ways, weights = list(operations), list(operations.values())
        ends = time.monotonic() + seconds
        with asyncio.Runner() as runner, psycopg.connect(self._url) as self._conn:
            self._runner = runner
            self._aconn = runner.run(psycopg.AsyncConnection.connect(self._url, autocommit=True))
            while time.monotonic() < ends:
                (operation,) = self._random.choices(ways, weights)
                self._once(operation.__name__.removeprefix("_"), operation)
            runner.run(self._aconn.close())

    def _once(self, name: str, operation: Any) -> None:
        try:
            operation()
            self.done[name] += 1
        except psycopg.errors.DeadlockDetected:
            self.deadlocks[name] += 1
            self._conn.rollback()

    def _enqueue(self) -> None:
        window = range(self._pool.next_key, self._pool.next_key + 2 * _BATCH)
        self._pool.next_key += _BATCH
        numbers = self._random.sample(window, _BATCH)
        outbox.enqueue_many(self._conn, [self._draft(number) for number in numbers])
        self._end_transaction()

    def _draft(self, number: int) -> dict[str, Any]:
        name = self._pool.channel
        group = f"{name}-{number % self._pool.groups}"
        return {"channel": name, "recipient": "x", "idempotency_key": f"{name}-{number}", "group_key": group}

    def _claim(self) -> None:
        rows = self._runner.run(
            claim(
                self._aconn,
                channel=self._pool.channel,
                levels=EVERY_LEVEL,
                limit=_BATCH,
                lease=_LEASE,
                worker=self._worker,
            )
        )
        self._pool.claimed.extend(rows)

    def _settle(self) -> None:
        now = time.monotonic()
        outcomes = {one.id: self._random.choice(_OUTCOMES) for one in self._some(self._pool.claimed)}
        settlements = [
            Settlement(one.key, one.claim, one.attempt % 3, outcomes[one.id], now, now)
            for one in {one.id: one for one in self._pool.claimed.copy()}.values()
            if one.id in outcomes
        ]
        settled, _ = self._runner.run(settle(self._aconn, settlements, worker=self._worker))
        self._pool.letters.extend(each for each, outcome in outcomes.items() if str(each) in settled and outcome.reason)

    def _renew(self) -> None:
        renew(self._conn, held=self._held(), lease=_LEASE, worker=self._worker)
        self._end_transaction()

    def _release(self) -> None:
        self._runner.run(release(self._aconn, held=self._held(), worker=self._worker))

    def _cancel(self) -> None:
        group = self._random.randrange(self._pool.groups)
        outbox.cancel(self._conn, group_key=f"{self._pool.channel}-{group}")
        self._end_transaction()

    def _replay(self) -> None:
        letters: list[UUID] = self._some(self._pool.letters)
        replay(self._conn, letters, max_replays=None)
        self._end_transaction(regrets=0.7)

    def _discard(self) -> None:
        letters: list[UUID] = self._some(self._pool.letters)
        discard(self._conn, letters)
        self._end_transaction(regrets=0.7)

    def _held(self) -> dict[UUID, int]:
        return {one.id: one.claim for one in self._some(self._pool.claimed)}

    def _some(self, of: deque[T]) -> list[T]:
        """Return a batch in an order that nobody else has."""
        known = list(of.copy())
        return self._random.sample(known, min(_BATCH, len(known)))

    def _end_transaction(self, regrets: float = 0.1) -> None:
        """Keep the locks for a moment, as applications do; the share `regrets` takes back what it did."""
        time.sleep(self._random.uniform(0, 0.002))
        if self._random.random() < regrets:
            self._conn.rollback()
        else:
            self._conn.commit()


@scenario(45, "many sessions write the same rows in bulk")
def overlapping_writes(stage: Stage) -> None:
    sessions = stage.pick(reduced=6, full=16)
    seconds = stage.pick(reduced=2.0, full=300.0)
    own = [Pool(f"own_{number}") for number in range(sessions)]
    shared = [Pool("shared", groups=_GROUPS * sessions)] * sessions
    apart: list[Session] = []
    together: list[Session] = []
    # In turns, since machines have other things to do, and for as long: what a group has to cancel grows with time.
    for turn in range(1, _TURNS + 1):
        stage.say(f"turn {turn} of {_TURNS}")
        apart += _work(stage, own, seconds / _TURNS)
        together += _work(stage, shared, seconds / _TURNS)
    reached = sum((session.deadlocks for session in (*apart, *together)), Counter())
    stage.exactly({}, "deadlocks that reached a caller", dict(reached))
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    stage.exactly(0, "deadlocks that PostgreSQL counted", rows(stage.url, query)[0][0])
    done, undisturbed = (sum((each.done for each in some), Counter()) for some in (together, apart))
    stage.at_least(
        stage.pick(reduced=50, full=80),
        "throughput of that without overlaps",
        100 * done.total() / undisturbed.total(),
        " %",
    )
    stage.note(", ".join(f"{count:,} {name}" for name, count in done.most_common()))
    stage.ran(f"{sessions} sessions, {seconds:g} s apart and {seconds:g} s together, {done.total():,} operations")


def _work(stage: Stage, pools: Sequence[Pool], seconds: float) -> list[Session]:
    sessions = [Session(stage.url, pool, n, stage.random.getrandbits(32)) for n, pool in enumerate(pools, 1)]
    with ThreadPoolExecutor(len(sessions)) as threads:
        list(threads.map(lambda session: session.run(seconds), sessions))
    return sessions
