from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from outbox.outcomes import Sent
from outbox.queue.release import release
from outbox.queue.renew import renew
from tests.hands import claim, enqueue, expire_leases, rows, settle

if TYPE_CHECKING:
    from uuid import UUID


async def test_a_renewed_lease_is_not_claimed_by_others(database_url: str) -> None:
    enqueue(database_url, 2)
    held = {one.id: one.claim for one in await claim(database_url, lease=0.001)}
    with psycopg.connect(database_url, autocommit=True) as conn:
        assert renew(conn, held=held, lease=30, worker=1) == (set(held), set())
    assert await claim(database_url, worker=2) == []


async def test_what_was_taken_over_or_settled_is_ours_no_more(database_url: str) -> None:
    enqueue(database_url, 3)
    claimed = await claim(database_url)
    held = {one.id: one.claim for one in claimed}
    await settle(database_url, claimed[0], Sent(provider="smtp"))
    rows(database_url, "UPDATE outbox.queue SET leased_until = now() - interval '1 s' WHERE id = %s", claimed[1].id)
    await claim(database_url, worker=2)
    with psycopg.connect(database_url, autocommit=True) as conn:
        assert renew(conn, held=held, lease=30, worker=1) == ({claimed[2].id}, {claimed[0].id, claimed[1].id})


async def test_a_row_that_is_locked_is_neither_waited_for_nor_given_up(database_url: str) -> None:
    enqueue(database_url, 2)
    held = {one.id: one.claim for one in await claim(database_url)}
    first = next(iter(held))
    with psycopg.connect(database_url) as settling, psycopg.connect(database_url, autocommit=True) as conn:
        settling.execute("SELECT 1 FROM outbox.queue WHERE id = %s FOR UPDATE", [first])
        assert renew(conn, held=held, lease=30, worker=1) == (set(held) - {first}, set())


async def test_what_is_given_back_is_due_at_once_and_used_no_attempt(database_url: str) -> None:
    enqueue(database_url, 2)
    claimed = await claim(database_url)
    held: dict[UUID, int] = {one.id: one.claim for one in claimed}
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        assert await release(conn, held=held, worker=1) == (set(held), set())
        assert await release(conn, held=held, worker=1) == (set(), set())
    assert rows(database_url, "SELECT 1 FROM outbox.attempts") == []
    again = await claim(database_url, worker=2)
    assert [(one.claim, one.attempt, one.lost) for one in again] == [(2, 0, 0)] * 2


async def test_what_somebody_has_locked_is_told_and_not_given_back(database_url: str) -> None:
    enqueue(database_url, 3)
    held = {one.id: one.claim for one in await claim(database_url)}
    locked, gone, free = held
    rows(database_url, "DELETE FROM outbox.queue WHERE id = %s", gone)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        with psycopg.connect(database_url) as renewing:
            renewing.execute("SELECT 1 FROM outbox.queue WHERE id = %s FOR UPDATE", [locked])
            assert await release(conn, held=held, worker=1) == ({free}, {locked})
        assert await release(conn, held=held, worker=1) == ({locked}, set())


async def test_what_somebody_else_holds_cannot_be_given_back(database_url: str) -> None:
    enqueue(database_url)
    held = {one.id: one.claim for one in await claim(database_url)}
    expire_leases(database_url)
    await claim(database_url, worker=2)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        assert await release(conn, held=held, worker=1) == (set(), set())
