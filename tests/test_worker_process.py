"""Worker processes as people start them, and as machines end them."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fleet(tmp_path: Path, cloned_url: str, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    with Fleet(tmp_path, cloned_url, getattr(request, "param", 0.0)) as made:
        yield made


def unsettled(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM outbox.queue")[0][0])


def test_drain_delivers_what_is_due_and_exits_0(fleet: Fleet, cloned_url: str) -> None:
    identities = enqueue(cloned_url, 200)
    assert fleet.start("--drain").wait(timeout=30) == 0, fleet.log()
    assert sorted(fleet.lines("sent")) == sorted(map(str, identities))
    assert unsettled(cloned_url) == 0


@pytest.mark.parametrize("fleet", [0.3], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_being_sent_and_exits_0(
    fleet: Fleet, cloned_url: str, number: signal.Signals
) -> None:
    enqueue(cloned_url, 500)
    process = fleet.start("--concurrency", "20")
    wait_until(lambda: len(fleet.lines("begun")) >= 20)
    process.send_signal(number)
    assert process.wait(timeout=10) == 0, fleet.log()
    assert sorted(fleet.lines("begun")) == sorted(fleet.lines("sent"))
    assert rows(
        cloned_url, "SELECT count(*) FROM outbox.queue WHERE worker IS NOT NULL OR attempt > 0 OR lost > 0"
    ) == [(0,)]
    assert unsettled(cloned_url) == 500 - len(fleet.lines("sent"))
    assert rows(cloned_url, "SELECT 1 FROM outbox.workers") == []


def test_one_whose_loop_never_comes_back_ends_itself_and_says_where_it_stood(
    fleet: Fleet, cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTBOX_CHANNELS_EMAIL_TIMEOUT", "1s")
    monkeypatch.setenv("OUTBOX_CHANNELS_EMAIL_MAX_LOST", "3")
    enqueue(cloned_url, recipient="loop@example.org", priority="urgent")
    enqueue(cloned_url, 20)
    for _ in range(3):
        process = fleet.start()
        assert process.wait(timeout=30) == 1
    assert "the event loop has stood still for " in fleet.log()
    assert "tests/ledger.py" in fleet.log()
    assert fleet.start("--drain").wait(timeout=30) == 0
    ends = rows(cloned_url, "SELECT state, count(*) FROM outbox.status GROUP BY state")
    assert dict(ends) == {"sent": 20, "dead": 1}
    assert rows(cloned_url, "SELECT recipient, reason FROM outbox.dead_letters") == [("loop@example.org", "poison")]


@pytest.mark.parametrize("fleet", [60.0], indirect=True)
def test_a_second_signal_stops_at_once(fleet: Fleet, cloned_url: str) -> None:
    enqueue(cloned_url)
    process = fleet.start()
    wait_until(lambda: fleet.lines("begun"))
    process.terminate()
    wait_until(lambda: "stops (SIGTERM)" in fleet.log())
    process.terminate()
    assert process.wait(timeout=3) == 128 + signal.SIGTERM


@pytest.mark.parametrize("fleet", [60.0], indirect=True)
def test_the_grace_is_an_option(fleet: Fleet, cloned_url: str) -> None:
    enqueue(cloned_url)
    process = fleet.start("--grace", "200ms")
    wait_until(lambda: fleet.lines("begun"))
    process.terminate()
    assert process.wait(timeout=5) == 0, fleet.log()


def test_a_provider_that_waits_in_a_thread_does_not_keep_the_process_from_ending(fleet: Fleet, cloned_url: str) -> None:
    enqueue(cloned_url, recipient="thread@example.org")
    process = fleet.start("--grace", "200ms")
    wait_until(lambda: fleet.lines("begun"))
    process.terminate()
    assert process.wait(timeout=20) == 0, fleet.log()


@pytest.mark.parametrize("fleet", [0.05], indirect=True)
def test_what_a_killed_worker_held_is_delivered_by_another_and_no_more_than_that_twice(
    fleet: Fleet, cloned_url: str
) -> None:
    identities = {str(identity) for identity in enqueue(cloned_url, 600)}
    victim = fleet.start("--concurrency", "20")
    wait_until(lambda: len(fleet.lines("sent")) >= 60)
    victim.kill()
    victim.wait()
    begun = Counter(fleet.lines("begun"))
    settled = {str(row[0]) for row in rows(cloned_url, "SELECT notification_id FROM outbox.attempts")}
    in_flight = set(begun) - settled
    fleet.start("--concurrency", "20")
    wait_until(lambda: unsettled(cloned_url) == 0, timeout=30)
    sent = Counter(fleet.lines("sent"))
    assert set(sent) == identities
    assert {identity for identity, count in sent.items() if count > 1} <= in_flight
    assert max(sent.values()) <= 2
    lost = {
        str(row[0]) for row in rows(cloned_url, "SELECT notification_id FROM outbox.attempts WHERE outcome = 'lost'")
    }
    assert in_flight <= lost, "every send that was cut off is on record"
    assert rows(cloned_url, "SELECT DISTINCT state FROM outbox.status") == [("sent",)]


@pytest.mark.parametrize("fleet", [0.2], indirect=True)
def test_a_worker_that_was_frozen_begins_no_send_with_a_lease_that_ran_out(fleet: Fleet, cloned_url: str) -> None:
    enqueue(cloned_url, 60)
    frozen = fleet.start("--concurrency", "10")
    wait_until(lambda: len(fleet.lines("sent")) >= 10)
    frozen.send_signal(signal.SIGSTOP)
    before = set(fleet.lines("begun"))
    fleet.start("--concurrency", "10")
    wait_until(lambda: unsettled(cloned_url) == 0, timeout=30)
    frozen.send_signal(signal.SIGCONT)
    frozen.terminate()
    assert frozen.wait(timeout=10) == 0, fleet.log()
    sent = Counter(fleet.lines("sent"))
    assert len(sent) == 60
    assert {identity for identity, count in sent.items() if count > 1} <= before, (
        "only what was in flight when it froze"
    )
    evidence = rows(cloned_url, "SELECT count(*) FROM outbox.attempts WHERE outcome = 'sent'")[0][0]
    assert evidence == sum(sent.values()), "a late success is recorded too"


@pytest.mark.parametrize("fleet", [0.02], indirect=True)
def test_a_message_that_kills_its_worker_ends_alone(fleet: Fleet, cloned_url: str) -> None:
    innocents = {str(identity) for identity in enqueue(cloned_url, 40)}
    enqueue(cloned_url, recipient="killer@example.org", priority="urgent")
    for _ in range(5):
        assert fleet.start("--concurrency", "20").wait(timeout=30) == 1
    fleet.start("--concurrency", "20")
    wait_until(lambda: unsettled(cloned_url) == 0, timeout=30)
    assert innocents <= set(fleet.lines("sent"))
    assert rows(cloned_url, "SELECT recipient, reason FROM outbox.dead_letters") == [("killer@example.org", "poison")]


def test_only_the_priorities_asked_for_are_served(fleet: Fleet, cloned_url: str) -> None:
    urgent = enqueue(cloned_url, 3, priority="urgent")
    enqueue(cloned_url, 3, priority="bulk")
    assert fleet.start("--drain", "--priority", "urgent", "--priority", "2").wait(timeout=30) == 0, fleet.log()
    assert sorted(fleet.lines("sent")) == sorted(map(str, urgent))


def test_a_channel_that_is_not_configured_is_a_mistake(fleet: Fleet) -> None:
    assert fleet.start("--channel", "sms").wait(timeout=30) == 2
    assert "no [channels.sms] in " in fleet.log()


def test_a_priority_that_does_not_exist_is_a_mistake(fleet: Fleet) -> None:
    assert fleet.start("--priority", "asap").wait(timeout=30) == 2
    assert "is none of urgent, high, normal, bulk" in fleet.log()


def test_a_database_that_is_not_migrated_says_what_to_run(tmp_path: Path, empty_url: str) -> None:
    fleet = Fleet(tmp_path, empty_url, 0.0)
    assert fleet.start("--drain").wait(timeout=30) == 1
    assert "run `outbox migrate`" in fleet.log()


def test_a_signal_ends_a_worker_that_still_waits_for_its_database(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, "postgresql://nobody@127.0.0.1:9/nothing", 0.0)
    process = fleet.start()
    wait_until(lambda: "database (claim) away" in fleet.log())
    process.terminate()
    assert process.wait(timeout=5) == 0, fleet.log()
