from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox import errors, events
from outbox.worker.pace import Pace
from tests.hands import claim, enqueue, rows
from tests.recorder import Recorder, drain, route, worker
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from outbox.messages import Notification
    from outbox.route import Route


@contextlib.asynccontextmanager
async def running(url: str, *routes: Route, **settings: Any) -> AsyncIterator[asyncio.Future[str]]:
    """A worker for as long as the block lasts; its future stops it."""
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(worker(url, *routes, **settings).run(stop))
    try:
        yield stop
    finally:
        if not stop.done():
            stop.set_result("the test is over")
        assert await task == 0


def states(url: str) -> dict[str, int]:
    return dict(rows(url, "SELECT state, count(*) FROM outbox.status GROUP BY 1"))


async def test_everything_due_is_delivered_once_by_several_workers(database_url: str) -> None:
    identities = enqueue(database_url, 500)
    recorders = [Recorder() for _ in range(3)]
    await asyncio.gather(*(drain(database_url, route(recorder), concurrency=20) for recorder in recorders))
    sent = [notification.id for recorder in recorders for notification in recorder.sent]
    assert sorted(sent) == sorted(identities)
    assert states(database_url) == {"sent": 500}
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(0,)]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_a_stricter_isolation_by_default_gets_in_no_worker_s_way(cloned_url: str, level: str) -> None:
    ((name,),) = rows(cloned_url, "SELECT current_database()")
    rows(cloned_url, f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    enqueue(cloned_url, 1_000)
    seen: list[events.Event] = []
    recorders = [Recorder() for _ in range(3)]
    await asyncio.gather(*(drain(cloned_url, route(recorder, events=seen), concurrency=20) for recorder in recorders))
    assert sum(len(recorder.sent) for recorder in recorders) == 1_000
    assert [event for event in seen if isinstance(event, events.DatabaseLost) and event.purpose != "lifeline"] == []


async def test_no_more_than_the_concurrency_are_sent_at_once(database_url: str) -> None:
    now = most = 0

    async def behave(_: Notification) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    enqueue(database_url, 60)
    await drain(database_url, route(Recorder(behave)), concurrency=7)
    assert most == 7


async def test_urgent_overtakes_what_waits(database_url: str) -> None:
    enqueue(database_url, 20, priority="bulk")
    enqueue(database_url, 5, priority="urgent")
    recorder = Recorder()
    await drain(database_url, route(recorder), concurrency=1, prefetch=0)
    assert [notification.priority for notification in recorder.sent[:5]] == [0] * 5


async def test_bulk_drains_while_urgent_never_ends(database_url: str) -> None:
    enqueue(database_url, 3, priority="bulk")
    enqueue(database_url, 40, priority="urgent")
    recorder = Recorder()
    await drain(database_url, route(recorder), concurrency=1, prefetch=0)
    first_bulk = [notification.priority for notification in recorder.sent].index(8)
    assert first_bulk < 15, "every tenth claim looks from the bottom up"


async def test_a_temporary_error_is_tried_again_and_ends_sent(database_url: str) -> None:
    failures = 2

    async def behave(_: Notification) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise errors.Temporary("busy", code="451")

    enqueue(database_url)
    async with running(database_url, route(Recorder(behave), backoff=("10ms",)), idle_poll=0.05):
        await await_until(lambda: states(database_url) == {"sent": 1})
    assert rows(database_url, "SELECT attempt, outcome, error_code FROM outbox.attempts ORDER BY claim") == [
        (1, "retry", "451"),
        (2, "retry", "451"),
        (3, "sent", None),
    ]


async def test_what_expired_or_is_suppressed_or_kills_its_worker_ends_without_being_sent(database_url: str) -> None:
    enqueue(database_url, recipient="late@example.org", expires_at=timedelta(milliseconds=1))
    enqueue(database_url, recipient="gone@example.org")
    (poison,) = enqueue(database_url, recipient="poison@example.org")
    rows(
        database_url,
        "INSERT INTO outbox.suppressions (channel, recipient, reason) "
        "VALUES ('email', 'gone@example.org', 'complaint')",
    )
    rows(database_url, "UPDATE outbox.queue SET lost = 5 WHERE id = %s", poison)
    recorder = Recorder()
    await drain(database_url, route(recorder))
    assert recorder.sent == []
    assert states(database_url) == {"expired": 1, "suppressed": 1, "dead": 1}
    assert rows(database_url, "SELECT reason, attempts FROM outbox.dead_letters") == [("poison", 0)]


async def test_an_idle_worker_is_woken_by_the_commit(database_url: str) -> None:
    recorder = Recorder()
    async with running(database_url, route(recorder), idle_after=0.01, idle_poll=60):
        await await_until(lambda: rows(database_url, "SELECT idle FROM outbox.workers") == [(["email"],)])
        for count in (1, 2):
            enqueue(database_url)
            await await_until(lambda: len(recorder.sent) == count, timeout=5)  # noqa: B023 - called before the next turn
            await await_until(lambda: rows(database_url, "SELECT idle FROM outbox.workers") == [(["email"],)])
    assert rows(database_url, "SELECT 1 FROM outbox.workers") == []


async def test_an_enqueue_notifies_only_when_a_worker_of_its_channel_sleeps(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as listening:
        listening.execute("LISTEN outbox")

        def heard() -> list[str]:
            return [notice.payload for notice in listening.notifies(timeout=0.2)]

        enqueue(database_url)
        assert heard() == []
        rows(
            database_url,
            "INSERT INTO outbox.workers (pid, host, version, channels, idle) "
            "VALUES (1, 'h', '0', '{sms,email}', '{sms}')",
        )
        enqueue(database_url)
        assert heard() == []
        rows(database_url, "UPDATE outbox.workers SET idle = '{email}'")
        enqueue(database_url, 3)
        assert heard() == ["email"]
        enqueue(database_url, run_at=timedelta(hours=1))
        assert heard() == []
        rows(database_url, "UPDATE outbox.workers SET seen_at = now() - interval '1 hour'")
        enqueue(database_url)
        assert heard() == []


async def test_a_stop_finishes_what_is_being_sent_and_gives_back_the_rest_unused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "ahead", lambda _, most: most)
    release = asyncio.Event()

    async def behave(_: Notification) -> None:
        await release.wait()

    enqueue(database_url, 10)
    recorder = Recorder(behave)
    async with running(database_url, route(recorder), concurrency=3) as stop:
        await await_until(lambda: len(recorder.keys) == 3)
        assert rows(database_url, "SELECT count(*) FROM outbox.queue WHERE worker IS NOT NULL")[0][0] > 3
        stop.set_result("SIGTERM")
        await asyncio.sleep(0.05)
        release.set()
    assert len(recorder.sent) == 3
    assert states(database_url) == {"sent": 3, "due": 7}
    assert rows(database_url, "SELECT DISTINCT attempt, lost FROM outbox.queue") == [(0, 0)]


async def test_what_outlasts_the_grace_is_cut_off_without_using_an_attempt_and_says_so(database_url: str) -> None:
    async def behave(_: Notification) -> None:
        await asyncio.Event().wait()

    enqueue(database_url, 4)
    recorder = Recorder(behave)
    async with running(database_url, route(recorder), concurrency=2, grace=0.1) as stop:
        await await_until(lambda: len(recorder.keys) == 2)
        stop.set_result("SIGTERM")
    assert states(database_url) == {"due": 4}
    assert (
        rows(database_url, "SELECT attempt, outcome, error_class, error FROM outbox.attempts")
        == [(0, "deferred", "ambiguous", "the worker was stopped while it was being sent")] * 2
    )


async def test_a_blocked_event_loop_does_not_lose_its_leases(database_url: str) -> None:
    async def behave(_: Notification) -> None:
        time.sleep(2.2)  # noqa: ASYNC251 - the defect of a provider that this is about

    def steal() -> list[Any]:
        deadline = time.monotonic() + 3
        stolen: list[Any] = []
        while time.monotonic() < deadline:
            stolen += asyncio.run(claim(database_url, worker=999))
            time.sleep(0.1)
        return stolen

    enqueue(database_url, 2)
    recorder = Recorder(behave)
    async with running(database_url, route(recorder), concurrency=1, lease=1.0):
        await await_until(lambda: rows(database_url, "SELECT 1 FROM outbox.queue WHERE worker IS NULL") == [])
        assert await asyncio.to_thread(steal) == []
    assert states(database_url) == {"sent": 2}


async def test_a_lease_that_was_taken_over_is_not_sent_from(database_url: str) -> None:
    """The machine froze: what was prefetched is somebody else's by now, and the worker finds out before it sends."""
    gate = asyncio.Event()

    async def behave(_: Notification) -> None:
        await gate.wait()

    enqueue(database_url, 3)
    seen: list[events.Event] = []
    recorder = Recorder(behave)
    async with running(database_url, route(recorder, events=seen), concurrency=1, lease=1.0):
        await await_until(lambda: len(recorder.keys) == 1)
        rows(
            database_url,
            "UPDATE outbox.queue SET claim = claim + 1, worker = 999, leased_until = now() + interval '1 hour'",
        )
        await await_until(lambda: any(isinstance(event, events.LeaseLost) for event in seen))
        gate.set()
        await await_until(lambda: rows(database_url, "SELECT 1 FROM outbox.attempts WHERE outcome = 'sent'") == [(1,)])
    assert len(recorder.keys) == 1


async def test_a_slow_channel_does_not_slow_another(database_url: str) -> None:
    async def never(_: Notification) -> None:
        await asyncio.Event().wait()

    enqueue(database_url, 20)
    enqueue(database_url, 20, channel="sms", recipient="+447700900001")
    fast = Recorder()
    routes = route(Recorder(never), channel="email"), route(fast, channel="sms")
    async with running(database_url, *routes, concurrency=2, grace=0.05):
        await await_until(lambda: len(fast.sent) == 20)


async def test_while_the_only_provider_is_held_the_queue_is_left_alone(database_url: str) -> None:
    async def behave(_: Notification) -> None:
        raise errors.Misconfigured("535 5.7.8 bad password")

    enqueue(database_url, 50)
    recorder = Recorder(behave)
    async with running(database_url, route(recorder), concurrency=2, prefetch=0):
        await await_until(lambda: states(database_url).get("deferred", 0) >= 2)
        before = rows(database_url, "SELECT count(*) FROM outbox.attempts")
        await asyncio.sleep(0.3)
        assert rows(database_url, "SELECT count(*) FROM outbox.attempts") == before
    assert len(recorder.keys) <= 4
    assert rows(database_url, "SELECT max(attempt) FROM outbox.attempts") == [(0,)]


async def test_an_outage_of_a_provider_costs_each_row_one_attempt_at_most_and_ends_by_itself(
    database_url: str,
) -> None:
    down = True

    async def behave(_: Notification) -> None:
        if down:
            raise errors.Temporary("no connection")

    enqueue(database_url, 60)
    seen: list[events.Event] = []
    recorder = Recorder(behave)
    async with running(database_url, route(recorder, events=seen), concurrency=20, idle_poll=0.05):
        await await_until(lambda: sum(isinstance(event, events.ProviderHeld) for event in seen) >= 2)
        tried = len(recorder.keys)
        down = False
        await await_until(lambda: states(database_url) == {"sent": 60}, timeout=20)
    used = "SELECT max(attempt), count(*) FILTER (WHERE outcome = 'retry') FROM outbox.attempts"
    most, retries = rows(database_url, used)[0]
    assert most <= 2
    assert retries <= 60
    assert tried <= 60 + 20 + 2, "a probe a hold, not the queue"
    assert sum(isinstance(event, events.ProviderResumed) for event in seen) == 1


async def test_connections_that_are_cut_are_made_again_and_nothing_is_lost_or_repeated(cloned_url: str) -> None:
    async def behave(_: Notification) -> None:
        await asyncio.sleep(0.01)

    identities = enqueue(cloned_url, 1_000)
    seen: list[events.Event] = []
    recorder = Recorder(behave)
    async with running(cloned_url, route(recorder, events=seen), concurrency=20, idle_poll=0.1):
        for _ in range(5):
            await asyncio.sleep(0.05)
            rows(
                cloned_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'outbox %'",
            )
        await await_until(lambda: len(recorder.sent) >= 1_000 - 200)
    assert any(isinstance(event, events.DatabaseLost) for event in seen)
    await drain(cloned_url, route(recorder))
    rows(cloned_url, "UPDATE outbox.queue SET leased_until = now() WHERE worker IS NOT NULL")
    await drain(cloned_url, route(recorder))
    assert states(cloned_url) == {"sent": 1_000}
    assert {notification.id for notification in recorder.sent} == set(identities)
    assert len(recorder.sent) == 1_000, "a settlement that was cut off is written again, not sent again"


async def test_a_database_without_the_outbox_stops_the_worker_with_what_to_run(empty_url: str) -> None:
    with pytest.raises(errors.NotMigrated, match="outbox migrate"):
        await drain(empty_url, route(Recorder()))
