from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import psycopg

from outbox import schedules
from outbox.worker.chores import Chore, chores_with
from tests.doctor.examined import becomes, finding, findings, status, type_
from tests.endings import enter
from tests.hands import rows
from tests.recorder import Recorder, route
from tests.test_chores import at_it
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from psycopg import AsyncConnection


async def test_a_chore_that_fails_is_named_with_its_reason_until_it_is_done(cloned_url: str) -> None:
    failing = True

    async def step(conn: AsyncConnection[Any]) -> None:
        if failing:
            await conn.execute("SELECT 1 / 0")

    assert status(cloned_url, "chores") == "ok"
    async with at_it(cloned_url, Chore("unblock", 0.1, step)):
        await await_until(lambda: status(cloned_url, "chores") == "failure")
        found = finding(cloned_url, "chores")
        assert found.finding.startswith("the chore unblock failed ")
        assert found.finding.endswith(" times in a row: DivisionByZero: division by zero")
        failing = False
        type_(cloned_url, found.remedy)
        await await_until(lambda: status(cloned_url, "chores") == "ok")


async def test_a_chore_whose_role_lacks_a_right_says_what_gives_it(cloned_url: str) -> None:
    role = f"t{secrets.token_hex(4)}"
    granted = (
        "GRANT USAGE ON SCHEMA outbox TO {0}; GRANT SELECT, INSERT, UPDATE ON outbox.chores, outbox.workers TO {0}"
    )
    type_(cloned_url, f"CREATE ROLE {role} LOGIN; {granted.format(role)}")
    try:
        (chore,) = [chore for chore in chores_with(None, print) if chore.name == "ensure_partitions"]
        async with at_it(f"{cloned_url}{'&' if '?' in cloned_url else '?'}user={role}", chore):
            await await_until(lambda: status(cloned_url, "chores") != "ok")
        found = finding(cloned_url, "chores")
        assert "permission denied" in found.finding
        assert found.remedy == "outbox roles --apply"
    finally:
        type_(cloned_url, f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_chores_that_nobody_does_are_told_from_those_that_are_not_due(cloned_url: str) -> None:
    rows(cloned_url, "INSERT INTO outbox.chores (name, due_at, done_at) VALUES "
                     "('unblock', now() - interval '1 h', now() - interval '2 h'), "
                     "('sweep_workers', now() + interval '30 s', now()), "
                     "('of another version', now() - interval '9 days', NULL)")  # fmt: skip
    found = finding(cloned_url, "chores")
    assert found.status == "failure"
    assert found.finding == "the chore unblock is 1h late, no worker is live; last done 2h ago"
    assert found.remedy == "outbox worker --channel email"
    async with running(cloned_url, route(Recorder())):
        await await_until(lambda: status(cloned_url, "chores") == "ok", timeout=20)


def test_chores_that_are_late_though_workers_live_want_a_restart(cloned_url: str) -> None:
    enter(cloned_url, "email")
    rows(cloned_url, "INSERT INTO outbox.chores (name, due_at) VALUES ('unblock', now() - interval '1 h')")
    assert finding(cloned_url, "chores").remedy == "restart a worker"


def add_schedule(url: str, query: str = "SELECT 'ada@example.org' AS recipient, '{}'::jsonb AS payload") -> None:
    with psycopg.connect(url) as conn:
        schedules.add(conn, "digest", "@daily", query, channel="email")


async def test_a_schedule_that_fails_is_named_with_its_reason(cloned_url: str) -> None:
    rows(cloned_url, "CREATE TABLE people (email text)")
    add_schedule(cloned_url, "SELECT email AS recipient, '{}'::jsonb AS payload FROM public.people")
    assert status(cloned_url, "schedules") == "ok"
    rows(cloned_url, "DROP TABLE people; UPDATE outbox.schedules SET next_at = now() - interval '1 s'")
    async with running(cloned_url, route(Recorder())):
        await await_until(lambda: status(cloned_url, "schedules") == "warning")
        found = finding(cloned_url, "schedules")
        assert found.finding == 'the schedule digest failed: UndefinedTable: relation "public.people" does not exist'
        type_(cloned_url, found.remedy)
        rows(cloned_url, "CREATE TABLE people (email text); UPDATE outbox.schedules SET retry_at = NULL")
        await await_until(lambda: status(cloned_url, "schedules") == "ok", timeout=20)


async def test_a_schedule_that_is_due_and_not_run_wants_a_worker(cloned_url: str) -> None:
    add_schedule(cloned_url)
    rows(cloned_url, "UPDATE outbox.schedules SET next_at = now() - interval '5 minutes'")
    found = finding(cloned_url, "schedules")
    assert (found.status, found.remedy) == ("failure", "outbox worker --channel email")
    assert found.finding == "the schedule digest has been due for 5m, and no worker runs it"
    async with running(cloned_url, route(Recorder())):
        await await_until(lambda: status(cloned_url, "schedules") == "ok", timeout=20)


def test_a_schedule_that_is_paused_may_be_late(cloned_url: str) -> None:
    add_schedule(cloned_url)
    rows(cloned_url, "UPDATE outbox.schedules SET next_at = now() - interval '5 minutes', paused_at = now()")
    becomes(cloned_url, "schedules", "ok")
    assert len(findings(cloned_url, "schedules")) == 1
