from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox import events
from outbox.queue.claim import claim as claim_statement
from outbox.worker import feeder, lifeline
from outbox.worker.leases import Leases
from outbox.worker.lifeline import Lifeline
from outbox.worker.reporting import Reporting
from tests.hands import claim, enqueue, rows
from tests.recorder import Recorder, route
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from outbox.messages import Notification
    from outbox.queue.claim import Claimed


async def test_a_server_with_no_room_for_the_self_test_costs_no_lease_and_is_asked_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 0
    connect = Lifeline._connect  # noqa: SLF001 - the one way in which a connection for it alone can be refused

    def full(self: Lifeline, purpose: str) -> psycopg.Connection[Any]:
        nonlocal refused
        if purpose == "self-test" and refused < 1:
            refused += 1
            raise psycopg.OperationalError("FATAL:  sorry, too many clients already")
        return connect(self, purpose)

    monkeypatch.setattr(Lifeline, "_connect", full)
    seen: list[events.Event] = []
    recorder = Recorder()
    async with running(database_url, route(recorder, events=seen), lease=3.0, idle_after=0.01, idle_poll=60):
        await await_until(lambda: rows(database_url, "SELECT idle FROM outbox.workers") == [(["email"],)])
        assert refused == 1
        enqueue(database_url)
        await await_until(lambda: len(recorder.sent) == 1, timeout=5)
    assert [event for event in seen if isinstance(event, events.DatabaseLost | events.ListenUnheard)] == []


async def test_the_self_test_hears_its_own_word_among_those_of_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others are idle, each enqueue notifies: the first notice to arrive is as a rule not our own."""
    connect = Lifeline._connect  # noqa: SLF001 - the moment between LISTEN and the test

    def chattering(self: Lifeline, purpose: str) -> psycopg.Connection[Any]:
        if purpose == "self-test":
            rows(database_url, "NOTIFY outbox, 'sms'")
        return connect(self, purpose)

    monkeypatch.setattr(Lifeline, "_connect", chattering)
    seen: list[events.Event] = []
    async with running(database_url, route(Recorder(), events=seen), idle_after=0.01):
        await await_until(lambda: rows(database_url, "SELECT idle FROM outbox.workers") == [(["email"],)])
    assert not any(isinstance(event, events.ListenUnheard) for event in seen)


async def test_what_is_taken_back_during_the_self_test_is_heard(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, hinted = Lifeline._connect, list[str]()  # noqa: SLF001 - as above

    def chattering(self: Lifeline, purpose: str) -> psycopg.Connection[Any]:
        if purpose == "self-test":
            rows(database_url, "NOTIFY outbox, 'gone 01980000-0000-7000-8000-000000000000'")
        return connect(self, purpose)

    monkeypatch.setattr(Lifeline, "_connect", chattering)
    monkeypatch.setattr(Lifeline, "_hint", lambda _, payload: hinted.append(payload))
    async with running(database_url, route(Recorder()), idle_after=0.01):
        await await_until(lambda: any(payload.startswith("gone ") for payload in hinted))


async def test_a_heartbeat_that_hangs_costs_no_lease(database_url: str) -> None:
    gate = asyncio.Event()

    async def behave(_: Notification) -> None:
        await gate.wait()

    enqueue(database_url)
    seen: list[events.Event] = []
    recorder = Recorder(behave)
    async with running(database_url, route(recorder, events=seen), lease=3.0):
        await await_until(lambda: recorder.keys)
        with psycopg.connect(database_url) as somebody:
            somebody.execute("LOCK TABLE outbox.workers")
            await await_until(lambda: sum(isinstance(event, events.DatabaseLost) for event in seen) >= 5, timeout=20)
        gate.set()
        await await_until(lambda: rows(database_url, "SELECT 1 FROM outbox.attempts"))
    assert rows(database_url, "SELECT claim, outcome FROM outbox.attempts") == [(1, "sent")]


async def test_a_renewal_that_hangs_is_cut_off_soon_and_the_next_has_longer(database_url: str) -> None:
    (identity,) = enqueue(database_url)
    (claimed,) = await claim(database_url)
    leases = Leases(3.0)
    leases.take([claimed], time.monotonic())
    lifeline = _lifeline(database_url, leases)

    def renewal() -> float:
        began = time.monotonic()
        with psycopg.connect(database_url, autocommit=True) as conn, pytest.raises(psycopg.OperationalError):
            lifeline._renew(conn)  # noqa: SLF001 - one at a time
        return time.monotonic() - began

    with psycopg.connect(database_url) as somebody:
        somebody.execute("LOCK TABLE outbox.queue")
        first, second = renewal(), renewal()
    assert 1 <= first < 2 <= second
    with psycopg.connect(database_url, autocommit=True) as conn:
        lifeline._renew(conn)  # noqa: SLF001 - as above
    assert leases.tokens() == {identity: 1}


async def test_what_was_claimed_while_the_loop_stood_still_and_nobody_has_heard_of_is_kept_and_sent(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = iter([3.0])

    async def unheard(*args: Any, **more: Any) -> list[Claimed]:
        found = await claim_statement(*args, **more)
        if found:
            time.sleep(next(blocks, 0.0))  # noqa: ASYNC251 - a provider's code does this while the answer is on its way
        return found

    monkeypatch.setattr(feeder, "claim", unheard)
    enqueue(database_url, 3)
    recorder = Recorder()
    async with running(database_url, route(recorder), lease=1.0):
        await await_until(lambda: rows(database_url, "SELECT count(*) FROM outbox.queue") == [(0,)])
    assert rows(database_url, "SELECT claim, outcome FROM outbox.attempts") == [(1, "sent")] * 3
    assert len(recorder.keys) == 3


async def test_what_a_claim_brought_that_nobody_has_heard_of_is_found_beside_others_and_extended(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = enqueue(database_url, 2), enqueue(database_url, 2)
    leases = Leases(60.0)
    asked_at = leases.ask("email", [5])
    claimed = await claim(database_url, limit=2)
    await claim(database_url, worker=2)
    extended = "SELECT id FROM outbox.queue WHERE leased_until > now() + interval '45 s' ORDER BY id"
    line = _lifeline(database_url, leases)
    with psycopg.connect(database_url, autocommit=True) as conn:
        line._renew(conn)  # noqa: SLF001 - at a moment of our choice
        assert rows(database_url, extended) == [], "its answer may be read any moment"
        monkeypatch.setattr("outbox.worker.leases.time.monotonic", lambda: asked_at + 59.0)
        line._renew(conn)  # noqa: SLF001 - as above
        monkeypatch.undo()
    assert rows(database_url, extended) == [(identity,) for identity in sorted(ours)]
    first, second = leases.take(claimed, asked_at, "email")
    assert first.deadline > asked_at + 110
    assert second.place is None
    assert leases.unanswered(0.0) == []


def _lifeline(url: str, leases: Leases) -> Lifeline:
    return Lifeline(
        url=url, worker=1, leases=leases, wakeups={},
        reporting=Reporting(leases=leases, concurrency=1, levels=(5,), drain=False), loop=asyncio.get_running_loop(),
        listener=lambda _: None, longest_attempt=5.0,
    )  # fmt: skip


async def test_a_process_that_was_frozen_is_not_taken_for_stuck(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    leases = Leases(3.0)
    lifeline = _lifeline(database_url, leases)
    moments = iter([100.0, 101.0, 4_000.0, 4_001.0, 4_002.5])
    monkeypatch.setattr("outbox.worker.lifeline.time.monotonic", lambda: next(moments))
    for _ in range(4):
        lifeline._ask_the_loop()  # noqa: SLF001 - one at a time
    assert ended == [], "it stood still for 3,899 s together with the loop, and for 4 s beside it"
    lifeline._ask_the_loop()  # noqa: SLF001 - as above
    assert ended == [1]
    monkeypatch.undo()


async def test_an_event_loop_that_stood_still_is_told_of(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "_BLOCKED", 0.5)

    async def behave(_: Notification) -> None:
        time.sleep(1.5)  # noqa: ASYNC251 - this is what must not be done

    enqueue(database_url)
    seen: list[events.Event] = []
    async with running(database_url, route(Recorder(behave), events=seen), lease=1.0):
        await await_until(lambda: any(isinstance(event, events.LoopBlocked) for event in seen))
    assert not any(isinstance(event, events.LeaseLost) for event in seen)
