from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from outbox import events
from outbox.worker.lifeline import Lifeline
from tests.hands import enqueue, rows
from tests.recorder import Recorder, route
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    import pytest


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
