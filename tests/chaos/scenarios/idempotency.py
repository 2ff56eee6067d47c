"""One key, one notification; one notification, one key, whatever sessions, workers and operators do at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import IsolationLevel

import outbox
from outbox.errors import Temporary
from outbox.queue.replay import replay
from tests.chaos.scenario import scenario
from tests.hands import enqueue, rows
from tests.recorder import Recorder, drain, route

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from uuid import UUID

    from psycopg import AsyncConnection

    from outbox.errors import DeliveryError
    from outbox.messages import Notification, Receipt
    from tests.chaos.stage import Stage

_FAILURES = 3
_TRIES_A_KEY = 4
_ISOLATION = (IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)


class Refusing(Recorder):
    """Fails three times for each key, and remembers under which key it saw which body."""

    def __init__(self) -> None:
        super().__init__()
        self.tries: Counter[str] = Counter()
        self.keys_of: defaultdict[UUID, set[str]] = defaultdict(set)
        self.bodies_of: defaultdict[str, set[str]] = defaultdict(set)

    async def send(self, message: Notification, key: str) -> Receipt:
        self.tries[key] += 1
        self.keys_of[message.id].add(key)
        self.bodies_of[key].add(_body(message))
        if self.tries[key] <= _FAILURES:
            raise Temporary("not yet", code="451")
        return await super().send(message, key)


def _is_not_down(name: str, key: str, error: DeliveryError) -> None:
    """It fails by design: held, it would be tried less often than the count says."""


def _body(message: Notification) -> str:
    content = [message.recipient, message.template, message.payload, message.headers, message.topic]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@scenario(15, "an operator edits what is being retried")
def edited_between_attempts(stage: Stage) -> None:
    count = stage.pick(reduced=100, full=1_000)
    ids = stage.pick(reduced=40_000, full=1_000_000)
    made = enqueue(stage.url, count, headers={"List-Id": "orders"})
    provider = Refusing()
    refused = edits = 0
    for attempt in range(_FAILURES + 1):
        rows(stage.url, "UPDATE outbox.queue SET run_at = clock_timestamp()")
        to = route(provider, max_attempts=_FAILURES, backoff=("1h",))
        to.holds.failed = _is_not_down  # type: ignore[method-assign]
        asyncio.run(drain(stage.url, to, concurrency=20))
        edits += count
        refused += sum(_edit(stage.url, identity, attempt) for identity in made)
        with psycopg.connect(stage.url) as operator:
            # What died of its last attempt: the letter's copy can be edited, but what is sent is not made of it.
            operator.execute('UPDATE outbox.dead_letters SET payload = \'{"text": "edited"}\'')
            replay(operator, [row[0] for row in operator.execute("SELECT notification_id FROM outbox.dead_letters")])
    stage.exactly(count, "sent", len(provider.sent))
    stage.exactly({_FAILURES + 1}, "attempts each", set(provider.tries.values()))
    stage.exactly(edits, "edits refused", refused)
    stage.exactly({1}, "keys of one notification", {len(keys) for keys in provider.keys_of.values()})
    stage.exactly(count, "keys in all", len(provider.bodies_of))
    stage.exactly(0, "keys under which a body changed", sum(len(each) > 1 for each in provider.bodies_of.values()))
    stage.exactly(0, "ids made twice", _collisions(stage.url, ids))
    stage.ran(f"{count:,} messages, {_FAILURES} retries each; {ids:,} ids by 4 sessions at once")


def _edit(url: str, identity: UUID, attempt: int) -> bool:
    """Try to change a notification; return whether that was refused."""
    edit = "UPDATE outbox.notifications SET payload = jsonb_build_object('edit', %s::text) WHERE id = %s"
    try:
        rows(url, edit, attempt, identity)
    except psycopg.errors.ObjectNotInPrerequisiteState:
        return True
    return False


def _collisions(url: str, count: int) -> int:
    rows(url, "CREATE UNLOGGED TABLE public.ids (id uuid)")
    insert = "INSERT INTO public.ids SELECT outbox.uuid7() FROM generate_series(1, %s)"
    with ThreadPoolExecutor(4) as sessions:
        list(sessions.map(lambda _: rows(url, insert, count // 4), range(4)))
    ((collisions,),) = rows(url, "SELECT count(*) - count(DISTINCT id) FROM public.ids")
    return int(collisions)


class Try(NamedTuple):
    """One transaction that will be attempted: its keys, how it is isolated, and whether it takes back what it made."""

    keys: tuple[str, ...]
    isolation: IsolationLevel
    takes_back: bool
    dwells: float


class Contest:
    """Many sessions that enqueue the same keys; what each was told in a transaction that it committed."""

    def __init__(self) -> None:
        self.told: defaultdict[str, set[UUID]] = defaultdict(set)
        self.deadlocks = 0
        self.failures: Counter[str] = Counter()
        self.rolled_back = 0

    async def run(self, url: str, tries: Iterator[Try]) -> None:
        """Play one session: take try after try."""
        async with await psycopg.AsyncConnection.connect(url) as conn:
            for one in tries:
                await conn.set_isolation_level(one.isolation)
                decided = False
                while not decided:
                    decided = await self._once(conn, one)

    async def _once(self, conn: AsyncConnection[Any], one: Try) -> bool:
        """Return whether it is decided; a serialization failure is for the caller to try again, as ever."""
        try:
            results = await outbox.aenqueue_many(conn, [_draft(key) for key in one.keys])
            await asyncio.sleep(one.dwells)
            if one.takes_back and any(result.created for result in results):
                await conn.rollback()
                self.rolled_back += 1
                return True
            await conn.commit()
        except psycopg.errors.SerializationFailure:
            await conn.rollback()
            self.failures[one.isolation.name] += 1
            return False
        except psycopg.errors.DeadlockDetected:
            await conn.rollback()
            self.deadlocks += 1
            return False
        for key, result in zip(one.keys, results, strict=True):
            self.told[key].add(result.id)
        return True


def _draft(key: str) -> dict[str, Any]:
    return {"channel": "email", "recipient": "ada@example.org", "payload": {"for": key}, "idempotency_key": key}


def _tries(count: int, sessions: int, chance: random.Random) -> Iterator[Try]:
    """Yield the tries so that those of one key come close together, some of them with other keys beside it."""
    for start in range(0, count, sessions):
        keys = [f"key-{number}" for number in range(start, min(start + sessions, count))]
        sizes = [min(chance.choice((1, 1, 2, 5)), len(keys)) for _ in keys * (_TRIES_A_KEY - 1)]
        block = [*(tuple(chance.sample(keys, size)) for size in sizes), *((key,) for key in keys)]
        chance.shuffle(block)
        for chosen in block:
            yield Try(chosen, chance.choice(_ISOLATION), chance.random() < 0.3, chance.uniform(0, 0.003))


@scenario(16, "many sessions enqueue the same keys at once")
def contested_keys(stage: Stage) -> None:
    sessions = stage.pick(reduced=12, full=64)
    count = stage.pick(reduced=250, full=10_000)
    contest = Contest()

    async def compete() -> None:
        tries = _tries(count, sessions, stage.random)
        await asyncio.gather(*(contest.run(stage.url, tries) for _ in range(sessions)))

    asyncio.run(compete())
    made: defaultdict[str, set[UUID]] = defaultdict(set)
    for key, identity in rows(stage.url, "SELECT idempotency_key, id FROM outbox.notifications"):
        made[key].add(identity)
    stage.exactly(0, "lost: committed, and no notification", len(contest.told.keys() - made.keys()))
    stage.exactly(0, "phantom: never committed", len(made.keys() - contest.told.keys()))
    stage.exactly(0, "keys with two notifications", sum(len(each) > 1 for each in made.values()))
    stage.exactly(0, "keys with another answer", sum(made[key] != told for key, told in contest.told.items()))
    stage.exactly(0, "deadlocks", contest.deadlocks + _deadlocks(stage.url))
    stage.ran(
        f"{sessions} sessions, {count:,} keys tried {_TRIES_A_KEY} times and more, {contest.rolled_back:,} rolled "
        f"back by their first holders, {contest.failures.total():,} serialization failures tried again"
    )


def _deadlocks(url: str) -> int:
    ((deadlocks,),) = rows(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return int(deadlocks)
