"""Settlements that come twice, or late, or cross a claim of the same worker's on their way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest

from outbox.lease import Lease
from outbox.outcomes import Dead, Failure, Outcome, Retry, Sent
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement
from outbox.worker.leases import Leases
from outbox.worker.settler import Ended, Settler
from tests.hands import TROUBLE, claim, enqueue, expire_leases, rows
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from outbox.database import Link
    from outbox.queue.claim import Claimed

SENT = Sent(provider="smtp")
RETRIED = Retry(provider="smtp", failure=TROUBLE, delay=60)
DIED = Dead(provider="smtp", failure=Failure("unreachable", "550 5.1.1", "no such user"), reason="unreachable")
EVERYTHING = """
SELECT (SELECT array_agg(a) FROM outbox.attempts a), (SELECT array_agg(q) FROM outbox.queue q),
       (SELECT array_agg(d) FROM outbox.dead_letters d)
"""


async def said(url: str, claimed: Claimed, outcome: Outcome, *, worker: int = 1) -> str:
    """What a worker hears of its settlement."""
    now = time.monotonic()
    settlement = Settlement(claimed.key, claimed.claim, claimed.attempt, outcome, now, now)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        settled, later = await settle(conn, [settlement], worker=worker)
    return "settled" if settled else "later" if later else "not ours"


@pytest.mark.parametrize(("outcome", "again"), [(SENT, "not ours"), (RETRIED, "settled"), (DIED, "settled")])
async def test_settling_again_after_a_lost_acknowledgement_changes_nothing(
    database_url: str, outcome: Outcome, again: str
) -> None:
    enqueue(database_url)
    (claimed,) = await claim(database_url)
    assert await said(database_url, claimed, outcome) == "settled"
    before = rows(database_url, EVERYTHING)
    assert await said(database_url, claimed, outcome) == again
    assert rows(database_url, EVERYTHING) == before


async def test_a_failure_that_was_settled_is_so_also_when_it_has_been_claimed_again(database_url: str) -> None:
    enqueue(database_url)
    (claimed,) = await claim(database_url)
    at_once = Retry(provider="smtp", failure=TROUBLE, delay=0.0)
    assert await said(database_url, claimed, at_once) == "settled"
    await claim(database_url)
    assert await said(database_url, claimed, at_once) == "settled"
    assert rows(database_url, "SELECT claim, attempt, worker FROM outbox.queue") == [(2, 1, 1)]


@pytest.mark.parametrize("outcome", [SENT, RETRIED, DIED], ids=lambda outcome: outcome.name)
async def test_what_the_same_worker_has_claimed_again_is_still_its_own(database_url: str, outcome: Outcome) -> None:
    enqueue(database_url)
    (claimed,) = await claim(database_url)
    expire_leases(database_url)
    (again,) = await claim(database_url)
    assert await said(database_url, claimed, outcome) == "later"
    assert rows(database_url, "SELECT claim, worker FROM outbox.queue") == [(2, 1)]
    assert await said(database_url, again, outcome) == "settled"


async def test_what_the_same_worker_has_claimed_again_and_let_lapse_is_anybodys(database_url: str) -> None:
    enqueue(database_url)
    (claimed,) = await claim(database_url)
    expire_leases(database_url)
    await claim(database_url)
    expire_leases(database_url)
    assert await said(database_url, claimed, RETRIED) == "not ours"


async def test_a_late_success_records_as_lost_the_lapsed_claim_that_it_ends(database_url: str) -> None:
    enqueue(database_url)
    (stale,) = await claim(database_url, worker=1)
    expire_leases(database_url)
    await claim(database_url, worker=2)
    expire_leases(database_url)
    assert await said(database_url, stale, SENT, worker=1) == "settled"
    recorded = rows(database_url, "SELECT claim, attempt, outcome, worker FROM outbox.attempts ORDER BY claim")
    assert recorded == [(1, 1, "sent", 1), (2, 0, "lost", 2)], "worker 2 may have sent a copy before it vanished"
    assert rows(database_url, "SELECT state FROM outbox.status") == [("sent",)]
    assert rows(database_url, "SELECT 1 FROM outbox.queue") == []


class Slowly:
    """A link by which answers come late: something happens between the first statement and its answer."""

    def __init__(self, url: str, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        self._url = url
        self._meanwhile = meanwhile

    async def run(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[Any]], **_: object) -> Any:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as conn:
            answer = await work(conn)
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return answer


@contextlib.asynccontextmanager
async def settling(link: Slowly, leases: Leases) -> AsyncIterator[Settler]:
    settler = Settler(link=cast("Link", link), leases=leases, worker=1, linger=0.0, listener=lambda _: None)
    task = asyncio.create_task(settler.run())
    try:
        yield settler
    finally:
        task.cancel()
        await asyncio.wait([task])


async def taken(url: str, leases: Leases) -> list[Lease]:
    return leases.take(await claim(url), time.monotonic())


def ended(lease: Lease, outcome: Outcome, freed: list[Lease]) -> Ended:
    lease.begun = True
    now = time.monotonic()
    return Ended(lease, outcome, now, now, freed.extend)


async def test_a_retry_that_is_claimed_before_we_hear_that_it_is_settled_is_given_back(database_url: str) -> None:
    enqueue(database_url)
    leases, freed = Leases(30.0), list[Lease]()
    (lease,) = await taken(database_url, leases)

    async def meanwhile() -> None:
        assert await taken(database_url, leases) == [], "whoever has it in hand seems to be sending it"

    async with settling(Slowly(database_url, meanwhile), leases) as settler:
        settler.add(ended(lease, Retry(provider="smtp", failure=TROUBLE, delay=0.0), freed))
        await settler.drained()
        assert (freed, leases.all()) == ([lease], [])
        assert rows(database_url, "SELECT claim, attempt, worker, run_at <= now() FROM outbox.queue") == [
            (2, 1, None, True)
        ]
        assert rows(database_url, "SELECT claim, outcome FROM outbox.attempts") == [(1, "retry")]

        (another,) = await taken(database_url, leases)
        settler.add(ended(another, SENT, freed))
        await settler.drained()
    assert rows(database_url, "SELECT claim, outcome FROM outbox.attempts") == [(1, "retry"), (3, "sent")]


async def test_a_success_whose_row_we_have_claimed_again_without_hearing_of_it_is_not_sent_again(
    database_url: str,
) -> None:
    enqueue(database_url)
    leases, freed = Leases(30.0), list[Lease]()
    (lease,) = await taken(database_url, leases)
    expire_leases(database_url)
    on_its_way = await claim(database_url)
    async with settling(Slowly(database_url), leases) as settler:
        settler.add(ended(lease, SENT, freed))
        await await_until(lambda: rows(database_url, "SELECT 1 FROM outbox.attempts WHERE outcome = 'sent'"))
        assert (freed, leases.all()) == ([], [lease])
        assert leases.take(on_its_way, time.monotonic()) == [], "the send that has ended goes on under this claim"
        await settler.drained()
    assert freed == [lease]
    assert rows(database_url, "SELECT state FROM outbox.status") == [("sent",)]
    assert rows(database_url, "SELECT 1 FROM outbox.queue") == []
