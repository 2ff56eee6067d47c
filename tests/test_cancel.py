from __future__ import annotations

import threading

import psycopg
import pytest

import outbox
from outbox import Cancelled
from outbox.outcomes import Dead, Retry, Sent
from tests.hands import TROUBLE, claim, enqueue, expire_leases, rows, settle
from tests.waiting import wait_until


def cancel(url: str, **given: object) -> Cancelled:
    with psycopg.connect(url) as conn:
        return outbox.cancel(conn, **given)  # type: ignore[arg-type]


async def test_a_group_is_cancelled_and_what_is_beyond_recall_is_counted_truthfully(database_url: str) -> None:
    enqueue(database_url, 6, group_key="order:42")
    enqueue(database_url, 1, group_key="order:43")
    sent, dead, retrying, leased = await claim(database_url, limit=4)
    await settle(database_url, sent, Sent(provider="smtp"))
    await settle(database_url, dead, Dead(provider="smtp", failure=TROUBLE, reason="exhausted"))
    await settle(database_url, retrying, Retry(provider="smtp", failure=TROUBLE, delay=60))
    assert cancel(database_url, group_key="order:42") == Cancelled(cancelled=3, leased=1, sent=1, dead=1, ended=0)
    assert await settle(database_url, leased, Sent(provider="smtp"))
    assert cancel(database_url, group_key="order:42") == Cancelled(cancelled=0, leased=0, sent=2, dead=1, ended=3)
    states = rows(database_url, "SELECT state, count(*) FROM outbox.status GROUP BY 1 ORDER BY 1")
    assert states == [("cancelled", 3), ("dead", 1), ("due", 1), ("sent", 2)]


async def test_what_a_lost_worker_held_can_be_cancelled_and_says_so(database_url: str) -> None:
    (identity,) = enqueue(database_url)
    await claim(database_url, worker=9)
    expire_leases(database_url)
    assert cancel(database_url, id=identity).cancelled == 1
    assert rows(database_url, "SELECT claim, outcome, worker FROM outbox.attempts ORDER BY 1") == [
        (1, "lost", 9),
        (2, "cancelled", None),
    ]


async def test_a_late_success_after_a_cancellation_is_still_recorded(database_url: str) -> None:
    (identity,) = enqueue(database_url)
    (claimed,) = await claim(database_url)
    expire_leases(database_url)
    cancel(database_url, id=identity)
    await settle(database_url, claimed, Sent(provider="smtp"))
    assert rows(database_url, "SELECT state FROM outbox.status") == [("sent",)]


def test_one_channel_of_a_key_can_be_cancelled_alone(database_url: str) -> None:
    enqueue(database_url, idempotency_key="k")
    enqueue(database_url, channel="sms", recipient="+447700900001", idempotency_key="k")
    assert cancel(database_url, idempotency_key="k", channel="sms").cancelled == 1
    assert cancel(database_url, idempotency_key="k").cancelled == 1


def test_what_is_unknown_is_nothing(database_url: str) -> None:
    assert cancel(database_url, group_key="nobody") == Cancelled(0, 0, 0, 0, 0)
    assert cancel(database_url, id="01980000-0000-7000-8000-000000000000") == Cancelled(0, 0, 0, 0, 0)


def test_exactly_one_handle_is_taken(conn: psycopg.Connection) -> None:
    with pytest.raises(TypeError, match="exactly one"):
        outbox.cancel(conn)
    with pytest.raises(TypeError, match="exactly one"):
        outbox.cancel(conn, group_key="g", idempotency_key="k")


def test_an_id_that_is_none_is_refused_before_it_can_spoil_the_transaction(conn: psycopg.Connection) -> None:
    with pytest.raises(ValueError, match="hexadecimal UUID"):
        outbox.cancel(conn, id="order 42")
    conn.execute("SELECT 1")


async def test_a_worker_passes_by_what_an_open_transaction_is_cancelling(database_url: str) -> None:
    (identity,) = enqueue(database_url)
    with psycopg.connect(database_url) as conn:
        assert outbox.cancel(conn, id=identity).cancelled == 1
        assert await claim(database_url) == []
        conn.rollback()
    assert len(await claim(database_url)) == 1


def test_two_cancellations_of_one_group_never_deadlock_and_count_once(database_url: str) -> None:
    enqueue(database_url, 500, group_key="g")
    results: list[Cancelled] = []
    threads = [threading.Thread(target=lambda: results.append(cancel(database_url, group_key="g"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads))
    assert sorted(result.cancelled for result in results) == [0, 0, 0, 500]
    assert all(result.cancelled + result.ended == 500 for result in results)
