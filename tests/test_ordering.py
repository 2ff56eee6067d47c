"""Of those with one ordering key, on one channel, the next is not begun before the one before it has ended."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import outbox
from outbox.outcomes import Ambiguous, Dead, Deferred, Expired, Failure, Retry, Sent, Suppressed
from outbox.queue import enqueue_many
from outbox.queue.release import release
from outbox.queue.replay import replay
from outbox.queue.settle import settle as settle_statement
from outbox.queue.settlement import Settlement
from outbox.queue.unblock import START, unblock
from tests.hands import TROUBLE, claim, enqueue, expire_leases, rows, settle
from tests.recorder import Recorder, drain, route
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.events import Event
    from outbox.outcomes import Outcome
    from outbox.queue.unblock import Line

REFUSED = Failure("rejected", "554 5.6.0", "no")
ENDS: list[Outcome] = [
    Sent(provider="smtp"),
    Dead(provider="smtp", failure=REFUSED, reason="rejected"),
    Expired(failure=Failure("expired", None, "late")),
    Suppressed(failure=Failure("suppressed", None, "unsubscribed")),
    Ambiguous(provider="smtp", failure=TROUBLE, reason="in_doubt"),
]
DELAYS: list[Outcome] = [
    Retry(provider="smtp", failure=TROUBLE, delay=60),
    Deferred(failure=TROUBLE, delay=60),
    Ambiguous(provider="smtp", failure=TROUBLE, delay=60),
]
NAMES: dict[str, Any] = {"ids": lambda outcome: outcome.name}


async def claimed(url: str, **asked: Any) -> list[UUID]:
    return [one.id for one in await claim(url, **asked)]


async def chore(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        return (await unblock(conn))[0]


def states(url: str) -> list[str]:
    """In the order of their ids."""
    return [state for (state,) in rows(url, "SELECT state FROM outbox.status ORDER BY id")]


async def end(url: str, outcome: Outcome = ENDS[0]) -> list[UUID]:
    """Claim what can be claimed, and settle it; return the ids."""
    taken = await claim(url)
    for one in taken:
        assert await settle(url, one, outcome)
    return [one.id for one in taken]


# One after another


@pytest.mark.parametrize("outcome", ENDS, **NAMES)
async def test_the_next_is_due_at_once_when_the_one_before_it_has_ended(database_url: str, outcome: Outcome) -> None:
    first, second, third = enqueue(database_url, 3, ordering_key="order:42")
    assert states(database_url) == ["due", "blocked", "blocked"]
    (head,) = await claim(database_url)
    assert head.id == first
    assert await claim(database_url, worker=2) == []
    await settle(database_url, head, outcome)
    assert states(database_url)[1:] == ["due", "blocked"]
    assert await claimed(database_url) == [second]
    assert third not in await claimed(database_url)


@pytest.mark.parametrize("outcome", DELAYS, **NAMES)
async def test_what_is_tried_again_keeps_its_place(database_url: str, outcome: Outcome) -> None:
    first, second = enqueue(database_url, 2, ordering_key="order:42")
    assert await end(database_url, outcome) == [first]
    assert await claim(database_url) == []
    rows(database_url, "UPDATE outbox.queue SET run_at = now() WHERE run_at < 'infinity'")
    assert await end(database_url) == [first]
    assert await end(database_url) == [second]


async def test_what_is_given_back_keeps_its_place(database_url: str) -> None:
    first, _ = enqueue(database_url, 2, ordering_key="order:42")
    (head,) = await claim(database_url)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        assert await release(conn, held={head.id: head.claim}, worker=1) == ({head.id}, set())
    assert await claimed(database_url) == [first]


async def test_what_a_vanished_worker_held_keeps_its_place(database_url: str) -> None:
    first, second = enqueue(database_url, 2, ordering_key="order:42")
    (lost,) = await claim(database_url)
    expire_leases(database_url)
    (again,) = await claim(database_url, worker=2)
    assert (lost.id, again.id) == (first, first)
    assert not await settle(database_url, lost, DELAYS[0])
    assert await claim(database_url, worker=3) == []
    await settle(database_url, again, ENDS[0], worker=2)
    assert await claimed(database_url, worker=3) == [second]


async def test_a_late_acceptance_that_ends_the_head_lets_the_next_go_on(database_url: str) -> None:
    _, second = enqueue(database_url, 2, ordering_key="order:42")
    (head,) = await claim(database_url)
    expire_leases(database_url)
    await settle(database_url, head, ENDS[0], worker=9)
    assert await claimed(database_url) == [second]


async def test_other_keys_other_channels_and_those_without_a_key_wait_for_nobody(database_url: str) -> None:
    first, _ = enqueue(database_url, 2, ordering_key="order:42")
    (other,) = enqueue(database_url, ordering_key="order:43")
    free = enqueue(database_url, 3)
    (sms,) = enqueue(database_url, ordering_key="order:42", channel="sms", recipient="+447700900001")
    assert await claimed(database_url) == [first, other, *free]
    assert await claimed(database_url, channel="sms") == [sms]


async def test_an_urgent_one_waits_behind_a_bulk_one_with_its_key(database_url: str) -> None:
    (bulk,) = enqueue(database_url, ordering_key="order:42", priority="bulk")
    (urgent,) = enqueue(database_url, ordering_key="order:42", priority="urgent")
    assert await claimed(database_url, levels=[0]) == []
    assert await end(database_url) == [bulk]
    assert await claimed(database_url, levels=[0]) == [urgent]


async def test_a_head_that_is_scheduled_keeps_all_behind_it_waiting(database_url: str) -> None:
    (later,) = enqueue(database_url, ordering_key="order:42", run_at=timedelta(hours=1))
    (now,) = enqueue(database_url, ordering_key="order:42")
    assert states(database_url) == ["scheduled", "blocked"]
    assert await claim(database_url) == []
    rows(database_url, "UPDATE outbox.queue SET run_at = now() WHERE id = %s", later)
    assert await end(database_url) == [later]
    assert await claimed(database_url) == [now]


async def test_whose_turn_comes_before_its_time_waits_for_its_time(database_url: str) -> None:
    enqueue(database_url, ordering_key="order:42")
    (later,) = enqueue(database_url, ordering_key="order:42", run_at=timedelta(hours=1))
    await end(database_url)
    assert states(database_url) == ["sent", "scheduled"]
    times = "SELECT q.run_at = n.run_at FROM outbox.queue q JOIN outbox.notifications n USING (id) WHERE id = %s"
    assert rows(database_url, times, later) == [(True,)]


async def test_a_blocked_one_that_expires_meanwhile_is_ended_as_expired_at_its_turn(cloned_url: str) -> None:
    enqueue(cloned_url, ordering_key="order:42")
    enqueue(cloned_url, ordering_key="order:42", expires_at=timedelta(milliseconds=1))
    enqueue(cloned_url, ordering_key="order:42")
    recorder = Recorder()
    await drain(cloned_url, route(recorder))
    assert states(cloned_url) == ["sent", "expired", "sent"]


# Replays


async def test_a_replayed_dead_letter_stands_at_the_end_of_its_line(database_url: str) -> None:
    first, second, third = enqueue(database_url, 3, ordering_key="order:42")
    assert await end(database_url, ENDS[1]) == [first]
    with psycopg.connect(database_url) as conn:
        assert replay(conn, [first]).ids == (first,)
    assert states(database_url) == ["blocked", "due", "blocked"]
    assert [await end(database_url) for _ in range(3)] == [[second], [third], [first]]


@pytest.mark.parametrize("dropped", [False, True], ids=["in the queue again", "enqueued anew"])
async def test_several_that_are_replayed_stand_as_they_were_enqueued(database_url: str, *, dropped: bool) -> None:
    ids = enqueue(database_url, 20, ordering_key="order:42")
    for _ in ids:
        await end(database_url, ENDS[1])
    if dropped:
        rows(database_url, "DELETE FROM outbox.notifications")
    with psycopg.connect(database_url) as conn:
        done = replay(conn, reversed(ids))
    again = [done.anew[identity] for identity in ids] if dropped else ids
    assert [await end(database_url) for _ in ids] == [[identity] for identity in again]


# Whoever leaves without making the next due


def _cancel(conn: psycopg.Connection[Any], recipient: str) -> None:
    assert outbox.cancel(conn, group_key=recipient).cancelled == 1


def _erase(conn: psycopg.Connection[Any], recipient: str) -> None:
    assert outbox.erase(conn, recipient=recipient).notifications == 1


def _delete(conn: psycopg.Connection[Any], recipient: str) -> None:
    assert conn.execute("DELETE FROM outbox.notifications WHERE recipient = %s", [recipient]).rowcount == 1


LEAVE = pytest.mark.parametrize("leave", [_cancel, _erase, _delete], ids=["cancelled", "erased", "deleted"])


def line_of_three(url: str) -> list[UUID]:
    return [
        identity
        for who in ("ada@example.org", "bob@example.org", "eve@example.org")
        for identity in enqueue(url, ordering_key="order:42", recipient=who, group_key=who)
    ]


@LEAVE
async def test_behind_a_head_that_is_taken_away_the_chore_makes_the_next_due(database_url: str, leave: Any) -> None:
    _, second, _ = line_of_three(database_url)
    with psycopg.connect(database_url) as conn:
        leave(conn, "ada@example.org")
    assert await chore(database_url) == 1
    assert await claimed(database_url) == [second]


@LEAVE
async def test_one_that_is_taken_away_in_the_middle_is_simply_gone(database_url: str, leave: Any) -> None:
    first, _, third = line_of_three(database_url)
    with psycopg.connect(database_url) as conn:
        leave(conn, "bob@example.org")
    assert await chore(database_url) == 0
    assert [await end(database_url) for _ in range(2)] == [[first], [third]]


async def test_a_worker_that_idles_finds_the_next_within_seconds_and_says_nothing(cloned_url: str) -> None:
    _, second, third = line_of_three(cloned_url)
    rows(cloned_url, "UPDATE outbox.queue SET run_at = now() + interval '1 hour' WHERE run_at < 'infinity'")
    recorder = Recorder()
    events: list[Event] = []
    async with running(cloned_url, route(recorder, events=events)):
        with psycopg.connect(cloned_url) as conn:
            _cancel(conn, "ada@example.org")
        await await_until(lambda: len(recorder.sent) == 2, timeout=20)
    assert [notification.id for notification in recorder.sent] == [second, third]
    assert not [event for event in events if type(event).__name__ == "ChoreFailed"]


async def test_the_chore_looks_at_every_line_however_many_at_a_time(database_url: str) -> None:
    for number in range(7):
        enqueue(database_url, 3, ordering_key=f"order:{number}", group_key="g")
    rows(
        database_url, "DELETE FROM outbox.notifications WHERE id IN (SELECT id FROM outbox.queue WHERE run_at <= now())"
    )
    after: Line | None = START
    unblocked = []
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        while after is not None:
            count, after = await unblock(conn, after, 3)
            unblocked.append(count)
    assert unblocked == [3, 3, 1]
    assert len(await claim(database_url)) == 7


# Transactions at the same time


async def test_of_two_that_were_enqueued_at_the_same_time_the_later_waits_once_both_are_there(
    database_url: str,
) -> None:
    with psycopg.connect(database_url) as one, psycopg.connect(database_url) as other:
        first = outbox.enqueue(one, channel="push", recipient="a", ordering_key="k").id
        second = outbox.enqueue(other, channel="push", recipient="b", ordering_key="k").id
        other.commit()
        one.commit()
    assert states(database_url) == ["due", "due"]  # neither saw the other
    (head,) = await claim(database_url, channel="push")
    assert head.id == first
    assert await claim(database_url, channel="push", worker=2) == []
    await settle(database_url, head, ENDS[0])
    assert await claimed(database_url, channel="push", worker=2) == [second]


async def test_nobody_waits_for_what_is_not_committed_and_those_after_it_do(database_url: str) -> None:
    with psycopg.connect(database_url) as slow:
        first = outbox.enqueue(slow, channel="push", recipient="a", ordering_key="k").id
        (second,) = enqueue(database_url, channel="push", recipient="b", ordering_key="k")
        (begun,) = await claim(database_url, channel="push")
        assert begun.id == second
        slow.commit()
    (third,) = enqueue(database_url, channel="push", recipient="c", ordering_key="k")
    await settle(database_url, begun, ENDS[0])
    (head,) = await claim(database_url, channel="push")
    assert head.id == first
    await settle(database_url, head, ENDS[0])
    assert await claimed(database_url, channel="push") == [third]


async def test_what_was_enqueued_while_the_one_before_it_ended_goes_on_by_the_chore(database_url: str) -> None:
    enqueue(database_url, channel="push", recipient="a", ordering_key="k")
    (head,) = await claim(database_url, channel="push")
    with psycopg.connect(database_url) as conn:
        second = outbox.enqueue(conn, channel="push", recipient="b", ordering_key="k").id
        await settle(database_url, head, ENDS[0])
    assert await claim(database_url, channel="push") == []
    assert await chore(database_url) == 1
    assert await claimed(database_url, channel="push") == [second]


async def test_a_transaction_that_holds_the_next_holds_up_no_settlement(database_url: str) -> None:
    _, second = enqueue(database_url, 2, ordering_key="k")
    (head,) = await claim(database_url)
    with psycopg.connect(database_url) as curious:
        curious.execute("SELECT FROM outbox.queue WHERE id = %s FOR UPDATE", [second])
        assert await settle(database_url, head, ENDS[0])
    assert await chore(database_url) == 1
    assert await claimed(database_url) == [second]


async def test_a_cancellation_that_is_rolled_back_changes_nothing(database_url: str) -> None:
    first, second, _ = line_of_three(database_url)
    with psycopg.connect(database_url) as conn:
        _cancel(conn, "ada@example.org")
        assert await chore(database_url) == 0
        conn.rollback()
    assert [await end(database_url) for _ in range(2)] == [[first], [second]]


async def test_two_of_a_line_that_end_in_one_statement_let_the_third_go_on(database_url: str) -> None:
    with psycopg.connect(database_url) as one, psycopg.connect(database_url) as other:
        outbox.enqueue(one, channel="email", recipient="a@example.org", ordering_key="k")
        outbox.enqueue(other, channel="email", recipient="b@example.org", ordering_key="k")
        other.commit()
        (later,) = await claim(database_url)
        one.commit()
    (earlier,) = await claim(database_url)
    (third,) = enqueue(database_url, ordering_key="k")
    now = time.monotonic()
    both = [Settlement(one.key, one.claim, 0, ENDS[1], now, now) for one in (earlier, later)]
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        assert len((await settle_statement(conn, both, worker=1))[0]) == 2
    await chore(database_url)
    assert await claimed(database_url) == [third]


# Many at once


@pytest.mark.parametrize("keyed", [False, True], ids=["", "with idempotency keys"])
@pytest.mark.parametrize("way", ["by COPY", "in statements", "in several COPYs", "in several statements"])
async def test_many_at_once_stand_as_they_were_given(
    database_url: str, monkeypatch: pytest.MonkeyPatch, way: str, *, keyed: bool
) -> None:
    if "statements" in way:
        monkeypatch.setattr(enqueue_many, "_WORTH_A_COPY", 10**9)
    if "several" in way:
        monkeypatch.setattr(enqueue_many, "CHUNK", 100)
    with psycopg.connect(database_url) as conn:
        drafts = [
            {"channel": "push", "recipient": f"{number}", "ordering_key": f"k{number % 3}"}
            | ({"idempotency_key": f"{number * 7_919 % 1_000}"} if keyed else {})
            for number in range(400)
        ]
        ids = [result.id for result in outbox.enqueue_many(conn, drafts)]
    stand = rows(database_url, "SELECT id FROM outbox.queue ORDER BY position")
    assert [identity for (identity,) in stand] == ids
    assert await claimed(database_url, channel="push") == ids[:3]


async def test_behind_a_duplicate_that_a_copy_leaves_out_the_next_is_due(database_url: str) -> None:
    draft: dict[str, Any] = {"channel": "push", "recipient": "a", "ordering_key": "k"}
    with psycopg.connect(database_url) as conn:
        outbox.enqueue(conn, **draft, idempotency_key="0")
    (head,) = await claim(database_url, channel="push")
    await settle(database_url, head, ENDS[0])
    with psycopg.connect(database_url) as conn:
        results = outbox.enqueue_many(conn, [draft | {"idempotency_key": f"{number}"} for number in range(300)])
    assert [result.created for result in results[:2]] == [False, True]
    assert await claimed(database_url, channel="push") == [results[1].id]


async def test_plain_inserts_and_copies_by_hand_keep_their_order(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute("""
            INSERT INTO outbox.notifications (channel, recipient, ordering_key)
            SELECT 'push', s.number::text, 'k' FROM generate_series(1, 50) AS s (number) ORDER BY s.number
        """)
        with conn.cursor().copy("COPY outbox.notifications (channel, recipient, ordering_key) FROM STDIN") as copy:
            for number in range(51, 101):
                copy.write_row(("push", str(number), "k"))
    stand = rows(
        database_url,
        "SELECT n.recipient::int FROM outbox.queue q JOIN outbox.notifications n USING (id) ORDER BY q.position",
    )
    assert [number for (number,) in stand] == list(range(1, 101))
    assert len(await claim(database_url, channel="push")) == 1


# Workers


async def test_several_workers_deliver_each_line_in_order_one_of_a_line_at_a_time(cloned_url: str) -> None:
    with psycopg.connect(cloned_url) as conn:
        drafts = [
            {"channel": "email", "recipient": f"u{number}@example.org", "ordering_key": f"k{number % 4}"}
            for number in range(80)
        ]
        given = [result.id for result in outbox.enqueue_many(conn, drafts)]
    under_way: set[str] = set()
    at_once: list[str] = []

    async def behave(notification: outbox.Notification) -> None:
        line = str(given.index(notification.id) % 4)
        at_once.extend([line] if line in under_way else [])
        under_way.add(line)
        await asyncio.sleep(0.005)
        under_way.discard(line)

    recorder = Recorder(behave)
    await asyncio.gather(*(drain(cloned_url, route(recorder), concurrency=8) for _ in range(3)))
    if len(recorder.sent) < len(given):  # whoever drains may leave while another has the head in hand
        await drain(cloned_url, route(recorder), concurrency=8)
    for line in range(4):
        assert [one.id for one in recorder.sent if given.index(one.id) % 4 == line] == given[line::4]
    assert at_once == []


async def test_one_that_drains_goes_through_the_whole_line(cloned_url: str) -> None:
    ids = enqueue(cloned_url, 30, ordering_key="order:42")
    recorder = Recorder()
    await drain(cloned_url, route(recorder))
    assert [notification.id for notification in recorder.sent] == ids


# What it costs


async def test_nothing_is_asked_where_no_key_is_used(cloned_url: str) -> None:
    name = conninfo_to_dict(cloned_url)["dbname"]
    rows(cloned_url, f"ALTER DATABASE {name} SET track_functions = 'all'")
    enqueue(cloned_url, 5)
    await end(cloned_url, Retry(provider="smtp", failure=TROUBLE, delay=0))
    await end(cloned_url)
    called = """
        SELECT funcname FROM pg_stat_user_functions
        WHERE funcname IN ('is_blocked', 'unblock_next', 'stand_in_line') ORDER BY 1
    """
    await await_until(
        lambda: rows(cloned_url, "SELECT 1 FROM pg_stat_user_functions WHERE funcname = 'put_into_queue'")
    )
    assert rows(cloned_url, called) == []
    assert rows(cloned_url, "SELECT last_value, is_called FROM outbox.queue_positions") == [(1, False)]
    enqueue(cloned_url, 2, ordering_key="k")
    await end(cloned_url)
    await await_until(lambda: len(rows(cloned_url, called)) == 3)


async def test_a_claim_walks_over_nobody_who_is_blocked(database_url: str) -> None:
    enqueue(database_url, 2_000, ordering_key="order:42")
    (head,) = await claim(database_url)
    plan = rows(
        database_url,
        "EXPLAIN (ANALYZE, FORMAT JSON) "
        "SELECT FROM outbox.queue WHERE channel = 'email' AND priority = 5 AND run_at <= now()",
    )[0][0][0]["Plan"]
    assert plan["Actual Rows"] == 1  # the one in hand
    assert plan.get("Rows Removed by Filter", 0) == 0
    await settle(database_url, head, ENDS[0])


def test_a_key_has_1_to_255_characters_whoever_writes_it(database_url: str) -> None:
    with psycopg.connect(database_url) as conn, pytest.raises(psycopg.errors.CheckViolation, match="255"):
        conn.execute(
            "INSERT INTO outbox.notifications (channel, recipient, ordering_key) VALUES ('push', 'a', %s)", ["k" * 256]
        )
