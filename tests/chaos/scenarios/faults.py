"""A fault at every call to a database or a provider, one after the other, in the life of some notifications."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import outbox
from outbox import Receipt, silence, suppressions
from outbox.config import TopicConfig
from outbox.errors import Rejected
from outbox.messages import InApp
from outbox.queue.discard import discard
from outbox.queue.replay import replay
from outbox.queue.unblock import unblock
from tests.chaos.injector import Injector, Site, all_sites
from tests.chaos.scenario import scenario
from tests.hands import rows
from tests.recorder import Recorder, route, worker
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from uuid import UUID

    from outbox import Notification
    from tests.chaos.injector import Fault
    from tests.chaos.ledger import Ledger
    from tests.chaos.stage import Stage

T = TypeVar("T")

_FAULTS: tuple[Fault, ...] = ("raises before", "raises after", "hangs", "twice")
_AT_ONCE = 4  # faults in one life, at different places
_PATIENCE = 20.0
_PATIENCE_WITH_SILENCE = 0.5
_SLOW = 0.45
_TRIES = 10
_WORTH_A_COPY = 300
_OPEN = "FROM outbox.queue"
_LEASED = "FROM outbox.queue WHERE worker IS NOT NULL AND leased_until > now()"
_SCHEDULED = "FROM outbox.queue WHERE run_at BETWEEN now() + interval '1 minute' AND now() + interval '1 day'"
_BEATEN = "SELECT 1 FROM outbox.workers WHERE seen_at > %s"
_LETTERS = "SELECT notification_id FROM outbox.dead_letters WHERE resolution IS NULL ORDER BY 1"


class Provider(Recorder):
    """Writes to the ledger what it accepts; slow or unwilling as the recipient says, broken as the injector says."""

    def __init__(self, injector: Injector, ledger: Ledger) -> None:
        super().__init__()
        self._injector = injector
        self._ledger = ledger
        self.willing = False

    async def send(self, message: Notification, key: str) -> Receipt:
        fault = self._injector.arrive()
        if fault == "raises before":
            raise ConnectionError("injected")
        if fault == "hangs":
            await asyncio.Event().wait()
        if message.recipient == "slow" and not self.willing:
            await asyncio.sleep(_SLOW)
        if message.recipient == "unwelcome" and not self.willing:
            raise Rejected("injected")
        self._ledger.deliver(key)
        if fault == "twice":
            self._ledger.deliver(key)
        if fault == "raises after":
            raise ConnectionError("injected")
        if message.recipient == "inbox":
            return Receipt(inbox=InApp(message.recipient, "arrived"))
        return await super().send(message, key)


class Life:
    """What an application, an operator and two workers do, so that every call is made at least once."""

    def __init__(self, url: str, ledger: Ledger, injector: Injector, number: int) -> None:
        self._url = url
        self._client = make_conninfo(url, options="-c statement_timeout=300")
        self._ledger = ledger
        self._number = number
        self._provider = Provider(injector, ledger)
        self._made = 0

    async def run(self) -> None:
        """Live it; raises AssertionError where something does not come to its end."""
        rows(self._url, "DELETE FROM outbox.chores")
        await self._enqueue()
        # Three that seem to kill their workers: only one of them is kept in hand, and the others are given back.
        suspects = "SELECT id FROM outbox.queue ORDER BY id DESC LIMIT 3"
        rows(self._url, f"UPDATE outbox.queue SET lost = 2 WHERE id IN ({suspects})")
        await self._work(self._disturb)
        self._provider.willing = True
        self._resolve()
        await self._work(self._settled)

    # The application, which makes a transaction again when nobody knows how it ended: its keys are for that

    async def _enqueue(self) -> None:
        await self._enqueue_by_copy()
        slow, unwelcome, in_app, single, pair = (
            self._drafts(*each) for each in (("slow", 2), ("unwelcome", 4), ("inbox", 2), ("x", 2), ("x", 2))
        )
        self._tell(self._sync(lambda conn: outbox.enqueue_many(conn, [*slow, *unwelcome, *in_app])))
        self._tell([self._sync(lambda conn: outbox.enqueue(conn, **single[0]))])
        self._tell([await self._async(lambda conn: outbox.aenqueue(conn, **single[1]))])
        self._tell(await self._async(lambda conn: outbox.aenqueue_many(conn, pair)))
        pointless = self._drafts("x", 2, run_at=timedelta(hours=1))
        first, second = self._tell(self._sync(lambda conn: outbox.enqueue_many(conn, pointless)))
        self._sync(lambda conn: outbox.cancel(conn, id=first))
        await self._async(lambda conn: outbox.acancel(conn, id=second))
        line = self._drafts("x", 2, ordering_key=str(self._number))
        ahead, _ = self._tell(self._sync(lambda conn: outbox.enqueue_many(conn, line)))
        self._sync(lambda conn: outbox.cancel(conn, id=ahead))
        await self._async(unblock)
        await self._opt_out_and_in()

    async def _opt_out_and_in(self) -> None:
        """By somebody whom nobody writes to: what is enqueued here is to arrive."""
        whom: dict[str, Any] = {"channel": "http", "recipient": "nobody"}
        self._sync(lambda conn: suppressions.add(conn, **whom, reason="unsubscribed"))
        self._sync(lambda conn: suppressions.remove(conn, **whom))
        await self._async(lambda conn: suppressions.aadd(conn, **whom, reason="stop"))
        await self._async(lambda conn: suppressions.aremove(conn, **whom, strong=True))
        await self._async(lambda conn: suppressions.aremove(conn, **whom))
        self._sync(lambda conn: suppressions.remove(conn, **whom, strong=True))

    async def _enqueue_by_copy(self) -> None:
        """Take all but a few of them back again: the life would become long."""
        many, others = (
            [*self._drafts("x", 5, priority="bulk"), *self._drafts("x", _WORTH_A_COPY, run_at=timedelta(hours=1))]
            for _ in range(2)
        )
        self._tell(self._sync(lambda conn: outbox.enqueue_many(conn, many)))
        self._tell(await self._async(lambda conn: outbox.aenqueue_many(conn, others)))
        rows(self._url, f"SELECT outbox.cancel(id, NULL, NULL, NULL) {_SCHEDULED}")

    def _drafts(self, recipient: str, count: int, **more: Any) -> list[dict[str, Any]]:
        self._made += count
        keys = [f"{self._number}-{number}" for number in range(self._made - count, self._made)]
        return [{"channel": "http", "recipient": recipient, "idempotency_key": key, **more} for key in keys]

    def _tell(self, made: list[outbox.Enqueued]) -> list[UUID]:
        ids = [each.id for each in made]
        self._ledger.acknowledge(ids)
        return ids

    def _sync(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        for _ in range(_TRIES):
            with contextlib.suppress(psycopg.Error), psycopg.connect(self._client) as conn:
                result = work(conn)
                conn.commit()
                return result
        raise AssertionError("an application tried in vain")

    async def _async(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        for _ in range(_TRIES):
            with contextlib.suppress(psycopg.Error):
                async with await psycopg.AsyncConnection.connect(self._client) as conn:
                    result = await work(conn)
                    await conn.commit()
                    return result
        raise AssertionError("an application tried in vain")

    # The operator

    def _resolve(self) -> None:
        """Discard one dead letter, and replay the others, of which one has lost its notification to retention."""
        first, gone, *others = (row[0] for row in rows(self._url, _LETTERS))
        self._sync(lambda conn: discard(conn, [first]))
        rows(self._url, "DELETE FROM outbox.notifications WHERE id = %s", gone)
        self._ledger.acknowledged.discard(str(gone))
        replayed = self._sync(lambda conn: replay(conn, [gone, *others]))
        self._ledger.acknowledge(replayed.anew.values())

    # The workers

    async def _work(self, while_it_works: Callable[[], Awaitable[None]]) -> None:
        stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        policy: dict[str, Any] = {
            "backoff": ("50ms",),
            "timeout": 1.0,
            "max_attempts": 20,
            "max_lost": 20,
            "rate": "10000/s",
            "recipient_rate": "100000/s",
        }
        way = route(self._provider, channel="http", **policy)
        employed = worker(
            self._url,
            way,
            topics={"receipts": TopicConfig(transactional=True)},
            lease=1.0,
            concurrency=2,
            prefetch=4,
            idle_after=0.05,
            idle_poll=0.2,
            grace=2.0,
        )
        working = asyncio.create_task(employed.run(stop))
        try:
            await while_it_works()
        finally:
            stop.set_result("the life is over")
            await working

    async def _disturb(self) -> None:
        """Lock what is leased, strike the worker off, let it sleep and wake it, and stop it with its hands full."""
        await await_until(lambda: self._count(_LEASED), _PATIENCE)
        async with await psycopg.AsyncConnection.connect(self._url) as curious:
            await curious.execute("SELECT FROM outbox.queue WHERE worker IS NOT NULL FOR UPDATE")
            await curious.execute("DELETE FROM outbox.workers")
            await asyncio.sleep(_SLOW)
        await await_until(lambda: not self._count(_OPEN), _PATIENCE)
        await self._heartbeat()  # meanwhile it falls asleep
        more = self._drafts("slow", 4)
        self._tell(self._sync(lambda conn: outbox.enqueue_many(conn, more)))
        await await_until(lambda: self._count(_LEASED) > 1, _PATIENCE)

    async def _settled(self) -> None:
        await await_until(lambda: not self._count(_OPEN), _PATIENCE)
        await self._heartbeat()

    async def _heartbeat(self) -> None:
        """Wait for the next: without it, no lease is renewed any more."""
        ((now,),) = rows(self._url, "SELECT clock_timestamp()")
        await await_until(lambda: rows(self._url, _BEATEN, now), _PATIENCE)

    def _count(self, query: str) -> int:
        return int(rows(self._url, f"SELECT count(*) {query}")[0][0])


@scenario(57, "one call to a database or a provider fails, whichever it is")
def fault_at_every_call(stage: Stage) -> None:
    sites = sorted(all_sites())
    pairs = [(site, fault) for site in sites for fault in _FAULTS]
    stage.random.shuffle(pairs)
    lives = _Lives(stage)
    with pytest.MonkeyPatch.context() as patch, lives.injector.installed():
        patch.setattr(silence, "PATIENCE", _PATIENCE_WITH_SILENCE)
        patch.setattr(silence, "_BETWEEN_LOOKS", _PATIENCE_WITH_SILENCE / 5)
        uncommon = _uncommon(sites)
        lives.lead({})
        lives.lead(uncommon)
        for plan in _plans(pairs[: stage.pick(reduced=_AT_ONCE, full=len(pairs))]):
            lives.lead(plan)
        # Some were out of reach because of the others in their plan, and some calls are made after other faults alone.
        for others in ({}, uncommon):
            missed, lives.missed = lives.missed, []
            for site, fault in missed:
                lives.lead({**others, site: fault})
    stage.exactly(0, "lives in which something was stuck", len(lives.stuck))
    stage.exactly([], "calls never made", [str(site) for site in sites if site not in lives.injector.reached])
    stage.exactly([], "faults that did not strike", [f"{site} {fault}" for site, fault in lives.missed])
    stage.account(silent=False)
    for words in lives.stuck[:5]:
        stage.note(words)
    stage.ran(f"{lives.faults} faults ({', '.join(_FAULTS)}) at {len(sites)} calls, in {lives.count} lives")


class _Lives:
    """One life after another, each with its plan of faults."""

    def __init__(self, stage: Stage) -> None:
        self.injector = Injector()
        self.count = self.faults = 0
        self.stuck: list[str] = []
        self.missed: list[tuple[Site, Fault]] = []
        self._stage = stage

    def lead(self, plan: dict[Site, Fault]) -> None:
        """Lead one, and note what was stuck and which faults did not strike."""
        self.count += 1
        words = ", ".join(f"{site} {fault}" for site, fault in plan.items())
        self._stage.say(f"life {self.count}: {words}")
        self.injector.plan = dict(plan)
        try:
            asyncio.run(Life(self._stage.url, self._stage.ledger, self.injector, self.count).run())
        except AssertionError as error:
            self.stuck.append(f"{words}: {error}")
        self.faults += len(plan) - len(self.injector.plan)
        self.missed += self.injector.plan.items()
        self.injector.plan = {}


def _uncommon(sites: list[Site]) -> dict[Site, Fault]:
    """Return the faults that lead to calls which are made after these faults alone."""
    return {
        **{
            site: "is refused" for site in sites if site.file == "worker/chores.py" and "ensure_partitions" in site.text
        },
        **{site: "hangs" for site in sites if site.file == "worker/lifeline.py" and "notifies" in site.text},
    }


def _plans(pairs: list[tuple[Site, Fault]]) -> Iterator[dict[Site, Fault]]:
    """Yield all of them, so many at once, and no two at one place."""
    while pairs:
        plan = dict(pairs[:_AT_ONCE])
        yield plan
        pairs = [pair for pair in pairs if pair not in plan.items()]
