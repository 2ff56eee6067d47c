from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox.doctor import delivery
from outbox.worker import chores
from outbox.worker.chores import chores_with
from tests.command_line import run
from tests.doctor.examined import finding, status, type_
from tests.endings import claim_due, enter, put, put_dead
from tests.hands import rows
from tests.test_chores import at_it
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def a_workers_chores(url: str, *names: str) -> AsyncIterator[None]:
    """Somebody who does these chores."""
    every = {chore.name: chore for chore in chores_with(None, print)}
    async with at_it(url, *(every[name] for name in names)):
        yield


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "_SPREAD", 0.02)


def test_what_is_long_due_though_a_worker_is_there_is_explained(cloned_url: str) -> None:
    enter(cloned_url, "email")
    put(cloned_url, 1)
    assert status(cloned_url, "overdue") == "ok"
    rows(cloned_url, "UPDATE outbox.queue SET run_at = clock_timestamp() - interval '2 minutes'")
    found = finding(cloned_url, "overdue")
    assert found.status == "warning"
    assert found.finding.endswith("has been due for 2m, though a worker is there")
    assert found.remedy == f"outbox explain {found.details['id']}"
    type_(cloned_url, found.remedy)
    rows(cloned_url, "UPDATE outbox.queue SET run_at = clock_timestamp() - interval '20 minutes'")
    assert status(cloned_url, "overdue") == "failure"
    claim_due(cloned_url)
    assert status(cloned_url, "overdue") == "ok"


def test_a_lease_that_outlives_its_worker_by_far_is_ended(cloned_url: str) -> None:
    put(cloned_url, 2)
    claim_due(cloned_url, lease=86_400, worker=99)
    found = finding(cloned_url, "leases")
    assert found.status == "failure"
    assert found.finding.startswith("on email, 2 rows leased to workers that are gone, for up to 23h 59m")
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "leases") == "ok"
    assert len(claim_due(cloned_url)) == 2


def test_the_lease_of_a_worker_that_lives_is_its_own(cloned_url: str) -> None:
    worker = enter(cloned_url, "email")
    put(cloned_url, 2)
    claim_due(cloned_url, lease=86_400, worker=worker)
    assert status(cloned_url, "leases") == "ok"


async def test_a_line_whose_first_is_blocked_moves_again(cloned_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_UNBLOCKED_AFTER", 0.0)
    with psycopg.connect(cloned_url) as conn:
        for _ in range(3):
            outbox.enqueue(conn, channel="email", recipient="ada@example.org", ordering_key="order:42")
    assert status(cloned_url, "lines") == "ok"
    async with a_workers_chores(cloned_url, "unblock"):
        await await_until(lambda: rows(cloned_url, "SELECT 1 FROM outbox.chores WHERE done_at IS NOT NULL"))
    rows(cloned_url, "DELETE FROM outbox.notifications WHERE id = (SELECT min(id::text)::uuid FROM outbox.queue)")
    found = finding(cloned_url, "lines")
    assert found.finding == "1 line on email: the first is blocked, and nobody is ahead of it"
    rows(cloned_url, "UPDATE outbox.chores SET due_at = clock_timestamp() + interval '5 s'")
    type_(cloned_url, found.remedy)
    async with a_workers_chores(cloned_url, "unblock"):
        await await_until(lambda: status(cloned_url, "lines") == "ok", timeout=4)


async def test_a_window_that_should_have_closed_is_closed(cloned_url: str) -> None:
    with psycopg.connect(cloned_url) as conn:
        window: dict[str, Any] = {"digest_key": "likes", "digest_window": timedelta(minutes=10)}
        outbox.enqueue(conn, channel="email", recipient="ada@example.org", **window)
    assert status(cloned_url, "digests") == "ok"
    rows(cloned_url, "UPDATE outbox.digests SET closes_at = clock_timestamp() - interval '3 minutes'")
    found = finding(cloned_url, "digests")
    assert found.finding == "on email, 1 window of digests should have closed, up to 3m ago"
    rows(cloned_url, "INSERT INTO outbox.chores (name, due_at) "
                     "VALUES ('close_digests', clock_timestamp() + interval '9 s')")  # fmt: skip
    type_(cloned_url, found.remedy)
    async with a_workers_chores(cloned_url, "close_digests"):
        await await_until(lambda: status(cloned_url, "digests") == "ok", timeout=8)


def test_a_fan_out_that_does_not_go_on_is_named_until_it_is_run_again(cloned_url: str) -> None:
    query = "SELECT n || '@example.org' AS recipient, '{}'::jsonb AS payload FROM generate_series(1, 10) n"
    command = ("fan-out", "run", "sale", "--channel", "email", "--sql", query)
    assert run(cloned_url, *command).exit_code == 0
    assert status(cloned_url, "fan-outs") == "ok"
    rows(cloned_url, "UPDATE outbox.fan_outs SET finished_at = NULL, advanced_at = now() - interval '6 minutes'")
    found = finding(cloned_url, "fan-outs")
    assert found.finding == "the fan-out sale stands at 10 of 10 rows for 6m"
    assert "outbox fan-out run sale …" in found.remedy
    assert run(cloned_url, *command).exit_code == 0
    assert status(cloned_url, "fan-outs") == "ok"


def test_dead_letters_that_grow_are_told_of_with_what_most_of_them_died_of(cloned_url: str) -> None:
    put_dead(cloned_url, 9)
    assert status(cloned_url, "dead-letters") == "ok"
    put_dead(cloned_url, 3)
    found = finding(cloned_url, "dead-letters")
    assert found.status == "warning"
    assert found.finding == ("12 on email died in the last hour, 0 in the one before; mostly rejected (554 5.6.0)")
    type_(cloned_url, found.remedy)
    assert run(cloned_url, "dead-letters", "discard", "--all", "--yes").exit_code == 0
    assert status(cloned_url, "dead-letters") == "ok"


def test_dead_letters_that_were_more_an_hour_ago_do_not_grow(cloned_url: str) -> None:
    put_dead(cloned_url, 20)
    rows(cloned_url, "UPDATE outbox.dead_letters SET died_at = died_at - interval '90 minutes'")
    put_dead(cloned_url, 15)
    assert status(cloned_url, "dead-letters") == "ok"
