"""The quick way of settling: an acceptance whose row lies where its claim left it, and that nobody holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox.outcomes import Sent
from outbox.queue import settle as settling
from outbox.queue.renew import renew
from outbox.queue.settlement import Settlement
from tests.hands import claim, enqueue, expire_leases, rows

if TYPE_CHECKING:
    from outbox.queue.claim import Claimed

SENT = Sent(provider="smtp")
WORKER = 1


async def settled(url: str, claimed: list[Claimed]) -> tuple[set[str], set[str]]:
    """Settle where each lies; whoever waits for a lock fails."""
    now = time.monotonic()
    ended = [Settlement(one.key, one.claim, one.attempt, SENT, now, now, one.place) for one in claimed]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("SET lock_timeout = '1s'")
        return await settling.settle(conn, ended, worker=WORKER)


@pytest.fixture
def only_the_quick_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "SETTLE", "SELECT NULL::text, false WHERE false")


@pytest.mark.usefixtures("only_the_quick_statement")
@pytest.mark.parametrize("earlier_claims", [0, 1, 2])
async def test_what_lies_where_its_claim_left_it_is_settled_by_the_quick_statement(
    cloned_url: str, earlier_claims: int
) -> None:
    ids = enqueue(cloned_url, count=3)
    for _ in range(earlier_claims):
        assert len(await claim(cloned_url, worker=WORKER)) == len(ids)
        expire_leases(cloned_url)
    assert await settled(cloned_url, await claim(cloned_url, worker=WORKER)) == ({str(one) for one in ids}, set())
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue") == [(0,)]
    assert rows(cloned_url, "SELECT count(*) FROM outbox.attempts WHERE outcome = 'sent'") == [(3,)]


@pytest.mark.parametrize(
    "hold",
    [
        "SELECT FROM outbox.queue {} FOR UPDATE",
        "SELECT FROM outbox.queue {} FOR KEY SHARE",
        "UPDATE outbox.queue SET priority = 2 {}",
        "DELETE FROM outbox.queue {}",
        "DELETE FROM outbox.notifications {}",
    ],
)
async def test_what_somebody_holds_is_passed_by_and_settled_once_they_let_go(cloned_url: str, hold: str) -> None:
    held, free = enqueue(cloned_url, group_key="held") + enqueue(cloned_url)
    claimed = await claim(cloned_url, worker=WORKER)
    alone = "WHERE id = (SELECT id FROM outbox.notifications WHERE group_key = 'held')"
    with psycopg.connect(cloned_url) as other:
        other.execute(hold.format(alone).encode())
        assert await settled(cloned_url, claimed) == ({str(free)}, {str(held)})
        other.rollback()
    still = [one for one in claimed if one.id == held]
    assert await settled(cloned_url, still) == ({str(held)}, set())
    assert rows(cloned_url, "SELECT outcome FROM outbox.attempts") == [("sent",), ("sent",)]


async def test_what_was_renewed_meanwhile_lies_elsewhere_and_is_settled_all_the_same(cloned_url: str) -> None:
    (identity,) = enqueue(cloned_url)
    (claimed,) = await claim(cloned_url, worker=WORKER)
    with psycopg.connect(cloned_url) as conn:
        renew(conn, held={identity: claimed.claim}, worker=WORKER, lease=60)
    assert await settled(cloned_url, [claimed]) == ({claimed.key}, set())
