"""What others do to the rows, the locks and the connections of a worker, and what providers do to it."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import psycopg
import pytest

import outbox
from outbox import errors, events, suppressions
from outbox.database import Link
from outbox.messages import Notification, Receipt
from outbox.queue.claim import Claimed, claim
from outbox.worker import chores, feeder, settler, shift, slots
from outbox.worker.leases import Leases
from tests.hands import enqueue, expire_leases, rows
from tests.recorder import Recorder, drain, route, worker
from tests.test_worker import running, states
from tests.waiting import await_until


@pytest.mark.parametrize(
    "payload",
    [
        """repeat('{"a":', 11000) || '1' || repeat('}', 11000)""",
        """'{"a": 1e5000}'""",
    ],
    ids=["nested 11,000 deep", "a number of 5,000 digits"],
)
async def test_a_row_that_nobody_can_read_is_a_dead_letter_and_stops_no_other(database_url: str, payload: str) -> None:
    rows(
        database_url,
        "INSERT INTO outbox.notifications (channel, recipient, payload) "
        f"SELECT 'email', 'x@example.org', ({payload})::jsonb",
    )
    enqueue(database_url, 3)
    recorder = Recorder()
    assert await drain(database_url, route(recorder)) == 0
    assert len(recorder.sent) == 3
    ((reason, error),) = rows(database_url, "SELECT reason, error FROM outbox.dead_letters")
    assert reason == "rejected"
    assert error.startswith("its payload or headers cannot be read: ")


async def test_queue_rows_without_a_notification_are_cleared_away(database_url: str) -> None:
    rows(
        database_url,
        "INSERT INTO outbox.queue (id, run_at, priority, channel) "
        "SELECT outbox.uuid7(), now(), 5, 'email' FROM generate_series(1, 50)",
    )
    enqueue(database_url, 3)
    recorder = Recorder()
    assert await drain(database_url, route(recorder)) == 0
    assert len(recorder.sent) == 3
    assert rows(database_url, "SELECT 1 FROM outbox.queue") == []


async def test_truncating_the_notifications_empties_the_queue(cloned_url: str) -> None:
    enqueue(cloned_url, 5)
    rows(cloned_url, "TRUNCATE outbox.notifications")
    assert rows(cloned_url, "SELECT 1 FROM outbox.queue") == []


@pytest.mark.parametrize("statement", ["cancel", "delete"])
async def test_an_application_that_keeps_its_transaction_open_holds_up_no_other_settlement(
    database_url: str, statement: str
) -> None:
    gate = asyncio.Event()

    async def behave(notification: Notification) -> None:
        if notification.group_key == "held":
            await gate.wait()

    enqueue(database_url, group_key="held")
    recorder = Recorder(behave)
    async with running(database_url, route(recorder), concurrency=4):
        await await_until(lambda: len(recorder.keys) == 1)
        with psycopg.connect(database_url) as application:
            if statement == "cancel":
                assert outbox.cancel(application, group_key="held").leased == 1
            else:
                application.execute("DELETE FROM outbox.notifications WHERE group_key = 'held'")
            gate.set()
            enqueue(database_url, 30)
            await await_until(lambda: states(database_url).get("sent", 0) >= 30)
            application.rollback()
        await await_until(lambda: states(database_url) == {"sent": 31})


async def test_whoever_takes_back_what_had_lapsed_and_does_not_commit_holds_up_no_other_settlement(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settler, "_HELD_PAUSE", 0.1)
    gate = asyncio.Event()

    async def behave(notification: Notification) -> None:
        if notification.group_key == "held":
            await gate.wait()

    enqueue(database_url, group_key="held")
    recorder = Recorder(behave)
    async with running(database_url, route(recorder), concurrency=40):
        await await_until(lambda: len(recorder.keys) == 1)
        with psycopg.connect(database_url) as application:
            application.execute("UPDATE outbox.queue SET leased_until = now() - interval '1 second'")
            assert outbox.cancel(application, group_key="held").cancelled == 1
            gate.set()
            enqueue(database_url, 30)
            await await_until(lambda: states(database_url).get("sent", 0) >= 30)
            application.commit()
        await await_until(lambda: states(database_url) == {"sent": 31})
    told = "SELECT claim, outcome FROM outbox.attempts JOIN outbox.notifications n ON n.id = notification_id"
    assert set(rows(database_url, told + " WHERE group_key = 'held'")) == {(1, "sent"), (2, "cancelled")}


async def test_whoever_suppresses_somebody_and_does_not_commit_holds_up_no_other_settlement(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settler, "_HELD_PAUSE", 0.1)

    async def behave(notification: Notification) -> None:
        if notification.recipient == "eve@example.org":
            raise errors.Unreachable("nobody there", code="550 5.1.1")

    recorder = Recorder(behave)
    with psycopg.connect(database_url) as application:
        suppressions.add(application, channel="email", recipient="eve@example.org", reason="on_holiday")
        enqueue(database_url, recipient="eve@example.org")
        enqueue(database_url, 30)
        async with running(database_url, route(recorder), concurrency=40):
            await await_until(lambda: states(database_url).get("sent", 0) == 30)
            application.rollback()
            await await_until(lambda: states(database_url) == {"sent": 30, "dead": 1})
    assert rows(database_url, "SELECT reason FROM outbox.suppressions") == [("hard_bounce",)]


async def test_a_lease_that_lapsed_and_came_back_to_the_same_worker_is_not_sent_a_second_time(
    database_url: str,
) -> None:
    gate = asyncio.Event()

    async def behave(_: Notification) -> None:
        await gate.wait()

    enqueue(database_url)
    recorder = Recorder(behave)
    async with running(database_url, route(recorder), concurrency=4):
        await await_until(lambda: len(recorder.keys) == 1)
        expire_leases(database_url)
        await await_until(lambda: rows(database_url, "SELECT claim FROM outbox.queue") == [(2,)])
        await asyncio.sleep(0.05)
        gate.set()
        await await_until(lambda: states(database_url) == {"sent": 1})
    assert len(recorder.keys) == 1
    assert rows(database_url, "SELECT claim, outcome FROM outbox.attempts ORDER BY 1") == [(1, "lost"), (2, "sent")]


async def test_answers_to_claims_that_are_lost_on_the_way_make_no_poison(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = 0

    async def unheard(conn: psycopg.AsyncConnection[Any], **how: Any) -> list[Claimed]:
        nonlocal lost
        found = await claim(conn, **how)
        if found and lost < 3:
            lost += 1
            expire_leases(database_url)
            raise psycopg.OperationalError("the connection is lost")
        return found

    monkeypatch.setattr(feeder, "claim", unheard)
    enqueue(database_url)
    assert await drain(database_url, route(Recorder(), max_lost=1)) == 0
    assert states(database_url) == {"sent": 1}
    outcomes = rows(database_url, "SELECT outcome FROM outbox.attempts ORDER BY claim")
    assert outcomes == [("lost",)] * 3 + [("sent",)]


async def test_a_lock_on_the_table_of_workers_does_not_cost_a_lease(database_url: str) -> None:
    async def behave(_: Notification) -> None:
        await asyncio.sleep(3)

    enqueue(database_url)
    recorder = Recorder(behave)
    async with running(database_url, route(recorder), concurrency=1, lease=1.0):
        await await_until(lambda: len(recorder.keys) == 1)
        with psycopg.connect(database_url) as curious:
            curious.execute("SELECT * FROM outbox.workers FOR UPDATE")
            await await_until(lambda: len(recorder.sent) == 1)
    assert len(recorder.keys) == 1
    assert rows(database_url, "SELECT claim, outcome FROM outbox.attempts") == [(1, "sent")]


async def test_prepared_statements_that_a_pooler_loses_are_done_without(database_url: str) -> None:
    seen: list[events.Event] = []
    link = Link(database_url, "claim", seen.append)

    async def ask(conn: psycopg.AsyncConnection[Any]) -> int:
        row = await (await conn.execute("SELECT %s::int + 1", [1])).fetchone()
        assert row is not None
        return int(row[0])

    for _ in range(8):
        assert await link.run(ask) == 2
    await link.run(lambda conn: conn.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"))
    for _ in range(8):
        assert await link.run(ask) == 2
    assert [type(event).__name__ for event in seen] == ["DatabaseLost", "DatabaseBack"]
    await link.aclose()


async def test_a_chore_that_finds_a_table_locked_leaves_it_for_its_next_turn(cloned_url: str) -> None:
    seen: list[events.Event] = []
    partition = rows(cloned_url, "SELECT max(relname) FROM pg_class WHERE relname ~ '^attempts_[0-9]+$'")[0][0]
    rows(cloned_url, f"DROP TABLE outbox.{partition}")
    with psycopg.connect(cloned_url) as reader:
        reader.execute("SELECT count(*) FROM outbox.attempts")
        task = asyncio.create_task(chores.run_chores(cloned_url, seen.append))
        await await_until(lambda: any(isinstance(event, events.ChoreFailed) for event in seen))
        await asyncio.sleep(0.3)
        task.cancel()
    assert len(seen) == 1


async def test_a_drain_ends_when_the_only_provider_refuses_us_and_says_so(database_url: str) -> None:
    async def behave(_: Notification) -> None:
        raise errors.Misconfigured("535 5.7.8 bad password")

    enqueue(database_url, 500)
    recorder = Recorder(behave)
    assert await drain(database_url, route(recorder), concurrency=2) == 1
    assert len(recorder.keys) < 10
    assert rows(database_url, "SELECT count(*) FROM outbox.queue WHERE worker IS NOT NULL OR attempt > 0") == [(0,)]


async def test_a_provider_that_will_not_let_go_does_not_outlast_the_grace(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "CUT_OFF", 0.2)
    monkeypatch.setattr(shift, "CUT_OFF", 0.2)
    let_go = asyncio.Event()

    async def behave(_: Notification) -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    enqueue(database_url)
    recorder = Recorder(behave)
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(worker(database_url, route(recorder), grace=0.2).run(stop))
    try:
        await await_until(lambda: len(recorder.keys) == 1)
        stop.set_result("SIGTERM")
        async with asyncio.timeout(3):
            assert await task == 1, "one send is still going on, and its lease is left to run out"
    finally:
        let_go.set()


async def test_a_part_that_dies_takes_no_send_with_it(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def behave(_: Notification) -> None:
        await asyncio.sleep(0.3)

    enqueue(database_url, 5)
    recorder = Recorder(behave)

    async def defective(*_: object) -> None:
        await await_until(lambda: len(recorder.keys) == 5)
        raise ZeroDivisionError

    monkeypatch.setattr(shift, "run_chores", defective)
    with pytest.raises(ZeroDivisionError):
        await drain(database_url, route(recorder))
    assert states(database_url) == {"sent": 5}


async def test_what_a_provider_returns_is_cleaned_before_it_is_stored(database_url: str) -> None:
    class Careless(Recorder):
        async def send(self, message: Notification, key: str) -> Receipt:
            await super().send(message, key)
            return Receipt("id\x00\ud800" + "x" * 999)

    enqueue(database_url)
    assert await drain(database_url, route(Careless())) == 0
    ((stored,),) = rows(database_url, "SELECT provider_message_id FROM outbox.attempts")
    assert stored.startswith("id xxx")
    assert len(stored) == 255


async def test_a_drain_looks_again_when_the_suspect_in_hand_ended_while_it_looked_for_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[events.Event] = []
    gate = asyncio.Event()

    async def behave(_: Notification) -> None:
        await gate.wait()

    async def slow(conn: psycopg.AsyncConnection[Any], *, suspects: bool, **how: Any) -> list[Claimed]:
        found = await claim(conn, suspects=suspects, **how)
        if not suspects and not gate.is_set():
            gate.set()
            await await_until(lambda: any(isinstance(event, events.Settled) for event in seen))
        return found

    monkeypatch.setattr(feeder, "claim", slow)
    enqueue(database_url, 2)
    rows(database_url, "UPDATE outbox.queue SET lost = 2")
    assert await drain(database_url, route(Recorder(behave), events=seen)) == 0
    assert states(database_url) == {"sent": 2}


async def test_suspects_are_sent_one_at_a_time_and_a_drain_sends_them_all(database_url: str) -> None:
    now = most = 0

    async def behave(notification: Notification) -> None:
        nonlocal now, most
        if notification.group_key == "suspect":
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1

    enqueue(database_url, 20, group_key="suspect")
    enqueue(database_url, 50)
    rows(
        database_url,
        "UPDATE outbox.queue q SET lost = 2 FROM outbox.notifications n WHERE n.id = q.id AND n.group_key IS NOT NULL",
    )
    recorder = Recorder(behave)
    assert await drain(database_url, route(recorder), concurrency=20) == 0
    assert states(database_url) == {"sent": 70}
    assert most == 1
    ((claims,),) = rows(database_url, "SELECT max(claim) FROM outbox.attempts")
    assert claims < 20, "those that wait are not claimed over and over"


async def test_a_suspect_that_is_given_back_while_it_is_being_renewed_counts_as_lost_by_nobody(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals: list[asyncio.Task[None]] = []

    async def renew() -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as conn:
            await conn.execute("SELECT 1 FROM outbox.queue FOR UPDATE")
            begun.set()
            await asyncio.sleep(0.2)

    async def renewed_at_once(conn: psycopg.AsyncConnection[Any], **how: Any) -> list[Claimed]:
        found = await claim(conn, **how)
        if not renewals:
            renewals.append(asyncio.create_task(renew()))
            await begun.wait()
        return found

    begun = asyncio.Event()
    monkeypatch.setattr(feeder, "claim", renewed_at_once)
    enqueue(database_url, 4)
    rows(database_url, "UPDATE outbox.queue SET lost = 2")
    assert await drain(database_url, route(Recorder())) == 0
    await renewals[0]
    assert states(database_url) == {"sent": 4}
    assert rows(database_url, "SELECT 1 FROM outbox.attempts WHERE outcome = 'lost'") == []


def test_what_comes_back_to_whoever_has_it_in_hand_is_no_second_lease() -> None:
    leases = Leases(30)
    first = claimed_once(claim=1, lost_by=None)
    (lease,) = leases.take([first], 0.0)
    assert leases.take([claimed_once(claim=2, lost_by=7)], 1.0) == [], "it had lapsed: whoever sends it goes on"
    assert leases.tokens() == {first.id: 2}
    leases.drop(lease)
    (another,) = leases.take([claimed_once(claim=3, lost_by=None)], 2.0)
    leases.drop(lease)
    assert leases.all() == [another], "what took its place stays"


def test_a_lease_that_is_gone_counts_once_however_often_it_is_found_gone() -> None:
    leases = Leases(30.0)
    one = claimed_once(claim=1, lost_by=None)
    leases.take([one], 0.0)
    assert [leases.expire({one.id: 1}) for _ in range(3)] == [1, 0, 0]


def test_what_was_taken_back_is_not_trusted_again_by_a_renewal_that_crossed_it() -> None:
    leases = Leases(30.0)
    one = claimed_once(claim=1, lost_by=None)
    (lease,) = leases.take([one], time.monotonic())
    leases.revoke(one.key)
    leases.renewed({one.id: 1}, time.monotonic())
    assert not lease.is_held()


async def test_what_could_not_be_said_while_somebody_held_the_workers_row_is_said_later(database_url: str) -> None:
    def idle() -> bool:
        return bool(rows(database_url, "SELECT 1 FROM outbox.workers WHERE 'email' = ANY (idle)"))

    recorder = Recorder()
    async with running(database_url, route(recorder), idle_after=0.05, poll=0.02, idle_poll=0.2):
        await await_until(idle)
        with psycopg.connect(database_url) as curious:
            curious.execute("SELECT FROM outbox.workers FOR UPDATE")
            enqueue(database_url)
            await await_until(lambda: len(recorder.sent) == 1)
            assert idle(), "it could not say that it works"
            curious.rollback()
            enqueue(database_url)
            await await_until(lambda: len(recorder.sent) == 2)
        await await_until(lambda: not idle())


async def test_a_lock_that_a_role_does_not_wait_for_is_waited_for_by_the_worker(database_url: str) -> None:
    link = Link(database_url, "claim", lambda _: None, lock_timeout=0.1)

    async def update(conn: psycopg.AsyncConnection[Any]) -> int:
        return (await conn.execute("UPDATE outbox.queue SET lost = lost")).rowcount

    enqueue(database_url)
    with psycopg.connect(database_url) as application:
        application.execute("SELECT FROM outbox.queue FOR UPDATE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await link.run(update, waits=False)
        waiting = asyncio.create_task(link.run(update))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
    assert await waiting == 1
    await link.aclose()


def claimed_once(*, claim: int, lost_by: int | None) -> Claimed:
    identity = UUID("01980000-0000-7000-8000-000000000000")
    return Claimed(identity, str(identity), claim=claim, lost_by=lost_by)


async def test_a_stop_gives_back_what_was_not_begun_even_while_a_row_cannot_be_settled(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shift, "_LAST_WRITES", 0.5)
    gate = asyncio.Event()

    async def behave(notification: Notification) -> None:
        await (gate if str(notification.id) == recorder.keys[0] else asyncio.Event()).wait()

    enqueue(database_url, 10)
    recorder = Recorder(behave)
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(worker(database_url, route(recorder), concurrency=1, grace=0.5).run(stop))
    await await_until(lambda: len(recorder.keys) == 1)
    with psycopg.connect(database_url) as application:
        application.execute("DELETE FROM outbox.notifications WHERE id = %s", [recorder.keys[0]])
        gate.set()
        await await_until(lambda: len(recorder.sent) == 1)
        stop.set_result("SIGTERM")
        assert await task == 1, "one outcome could not be written"
        application.rollback()
    assert rows(database_url, "SELECT count(*) FROM outbox.queue WHERE worker IS NOT NULL") == [(1,)]
    assert rows(database_url, "SELECT 1 FROM outbox.workers") == []
