"""Schedules: what a query returns is enqueued at each occurrence, once, whoever runs it and whatever becomes of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox import schedules
from outbox.errors import InvalidSchedule, UnknownSchedule
from outbox.queue import fire
from outbox.queue.fire import Taken
from outbox.schedule_events import ScheduleFailed, ScheduleRan, ScheduleSkipped
from outbox.worker import scheduling
from outbox.worker.scheduling import choose, run_one
from tests.fleet import ROOT
from tests.hands import rows
from tests.kinds import KINDS, Async, opened
from tests.recorder import Recorder, route
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.events import Event

QUERY = "SELECT email AS recipient, jsonb_build_object('text', name) AS payload FROM customers"


@pytest.fixture
def url(database_url: str) -> str:
    """A database with two customers."""
    rows(
        database_url,
        "DROP SCHEMA IF EXISTS shop CASCADE; DROP TABLE IF EXISTS customers; "
        "CREATE TABLE customers (email text, name text); "
        "INSERT INTO customers VALUES ('ada@example.org', 'Ada'), ('bob@example.org', 'Bob')",
    )
    return database_url


def add(url: str, name: str = "digest", cron: str = "0 9 * * MON", query: str = QUERY, **given: Any) -> None:
    with psycopg.connect(url) as conn:
        schedules.add(conn, name, cron, query, **{"channel": "email", "time_zone": "Europe/Berlin"} | given)


def is_due(url: str, *, since: timedelta | datetime = timedelta(0), name: str = "digest") -> datetime:
    """Let the next occurrence be one in the past."""
    at = datetime.now(UTC) - since if isinstance(since, timedelta) else since
    rows(url, "UPDATE outbox.schedules SET next_at = %s, retry_at = NULL WHERE name = %s", at, name)
    return at


async def turn(url: str, name: str = "digest") -> Event | None:
    """What a worker does when it finds a schedule due."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        return await run_one(conn, name)


def count(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM outbox.notifications")[0][0])


# What is enqueued


async def test_each_row_of_the_query_is_a_notification(url: str) -> None:
    add(url, template="digest", priority="bulk", topic="news")
    due = is_due(url, since=timedelta(seconds=3))
    told = await turn(url)
    assert isinstance(told, ScheduleRan)
    assert (told.enqueued, told.occurrence) == (2, due)
    assert 3 <= told.late < 30
    fields = "channel, recipient, template, priority, topic, payload, idempotency_key"
    assert rows(url, f"SELECT {fields} FROM outbox.notifications ORDER BY recipient") == [
        ("email", "ada@example.org", "digest", 8, "news", {"text": "Ada"}, None),
        ("email", "bob@example.org", "digest", 8, "news", {"text": "Bob"}, None),
    ]
    assert rows(url, "SELECT count(*) FROM outbox.status WHERE state = 'due'") == [(2,)]
    assert await turn(url) is None, "it is not due again"


async def test_what_the_query_returns_comes_before_what_is_given(url: str) -> None:
    query = """
        SELECT 'sms' AS channel, name AS recipient, 0 AS priority, 'de' AS locale, 'g' AS group_key, now() AS run_at,
               now() + interval '1 hour' AS expires_at, 'k' || name AS idempotency_key, 't' AS topic, 'a' AS template,
               '{}'::json AS headers, name AS ordering_key, '{"text": "100 % %s"}'::jsonb AS payload
        FROM customers -- both of them
    """
    add(url, query=query, channel="email", template="b", priority="bulk", group_key="h")
    is_due(url)
    await turn(url)
    assert rows(
        url, "SELECT channel, recipient, priority, template, group_key, payload FROM outbox.notifications ORDER BY 2"
    ) == [
        ("sms", "Ada", 0, "a", "g", {"text": "100 % %s"}),
        ("sms", "Bob", 0, "a", "g", {"text": "100 % %s"}),
    ]


async def test_a_whole_run_can_be_taken_back_by_its_group_key(url: str) -> None:
    add(url)
    is_due(url, since=datetime(2026, 1, 5, 8, tzinfo=UTC))
    rows(url, "UPDATE outbox.schedules SET missed = 'all'")
    await turn(url)
    key = "schedule:digest:2026-01-05T08:00:00Z"
    assert rows(url, f"SELECT cancelled FROM outbox.cancel(group_key => '{key}')") == [(2,)]


async def test_the_query_is_told_which_occurrence_it_is_and_has_the_dates_of_its_time_zone(url: str) -> None:
    query = """
        SELECT email AS recipient, jsonb_build_object(
            'at', current_setting('outbox.occurrence')::timestamptz, 'hour', extract(hour FROM now())) AS payload
        FROM customers LIMIT 1
    """
    add(url, query=query, time_zone="Asia/Kathmandu", missed="all")
    is_due(url, since=datetime(2026, 1, 5, 18, 30, tzinfo=UTC))
    await turn(url)
    ((payload, hour),) = rows(
        url,
        "SELECT payload, date_part('hour', created_at AT TIME ZONE 'Asia/Kathmandu') FROM outbox.notifications",
    )
    assert payload == {"at": "2026-01-06T00:15:00+05:45", "hour": int(hour)}


async def test_the_query_finds_its_tables_where_it_found_them_when_it_was_added(url: str) -> None:
    rows(url, "CREATE SCHEMA shop; ALTER TABLE customers SET SCHEMA shop")
    with psycopg.connect(url, options="-c search_path=shop,public,nowhere") as conn:
        schedules.add(conn, "digest", "@daily", QUERY, channel="email")
    assert rows(url, "SELECT search_path FROM outbox.schedules") == [("shop, public",)]
    is_due(url)
    told = await turn(url)
    assert isinstance(told, ScheduleRan)
    assert told.enqueued == 2


# Once


@pytest.mark.parametrize("how", ["as workers do", "past all locks but the constraint"])
async def test_of_eight_at_one_occurrence_one_runs_it(url: str, how: str) -> None:
    add(url)
    due = is_due(url)

    async def past_all_locks() -> int | None:
        async with await psycopg.AsyncConnection.connect(url) as conn:
            return await fire.fire(conn, "digest", due)

    for _ in range(5):
        rows(url, "DELETE FROM outbox.schedule_runs; DELETE FROM outbox.notifications")
        due = is_due(url)
        if how == "as workers do":
            told = await asyncio.gather(*(turn(url) for _ in range(8)))
            assert [type(event) for event in told if event] == [ScheduleRan]
        else:
            ran = await asyncio.gather(*(past_all_locks() for _ in range(8)))
            assert sorted(ran, key=str) == [2, *[None] * 7]
        assert count(url) == 2
        assert rows(url, "SELECT occurrence, enqueued FROM outbox.schedule_runs") == [(due, 2)]


async def test_an_occurrence_that_somebody_set_back_is_not_run_again(url: str) -> None:
    add(url)
    due = is_due(url)
    assert isinstance(await turn(url), ScheduleRan)
    is_due(url, since=due)
    assert await turn(url) is None
    assert count(url) == 2
    ((next_at,),) = rows(url, "SELECT next_at FROM outbox.schedules")
    assert next_at > datetime.now(UTC), "and it goes on"


PROGRAM = """
import asyncio, sys, psycopg
from outbox.worker.scheduling import run_one

async def main():
    async with await psycopg.AsyncConnection.connect(sys.argv[1], autocommit=True) as conn:
        print(await run_one(conn, "digest"), flush=True)

asyncio.run(main())
"""
SLOW = "SELECT email AS recipient FROM customers, pg_sleep(30)"


def at_it(url: str) -> list[tuple[Any, ...]]:
    """The server processes that are in the middle of a run."""
    return rows(
        url,
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event = 'PgSleep' AND query LIKE %s",
        "SELECT r.ran%",
    )


@pytest.fixture
def program(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs what is due once it is there."""
    add(url, query=SLOW)
    is_due(url)
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, url], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("what", ["the process", "the connection"])
async def test_who_is_killed_in_the_middle_leaves_nothing_and_another_runs_it(
    url: str, program: subprocess.Popen[bytes], what: str
) -> None:
    ((pid,),) = await await_until(lambda: at_it(url))
    assert await turn(url) is None, "another has it"
    if what == "the process":
        program.kill()
    else:
        rows(url, "SELECT pg_terminate_backend(%s)", pid)
    await await_until(lambda: not at_it(url))
    assert rows(url, "SELECT count(*) FROM outbox.schedule_runs") == [(0,)]
    assert count(url) == 0
    rows(url, "UPDATE outbox.schedules SET query = 'SELECT email AS recipient FROM customers'")
    assert isinstance(await turn(url), ScheduleRan)
    assert rows(url, "SELECT r.enqueued, s.next_at > now() FROM outbox.schedules s, outbox.schedule_runs r") == [
        (2, True)
    ]


# What was missed


def taken(missed: str, since: str, now: str, cron: str = "0 9 * * *", failures: int = 0) -> Taken:
    since_at, now_at = (datetime.fromisoformat(text).astimezone(UTC) for text in (since, now))
    return Taken(cron, "Europe/Berlin", missed, since_at, failures, now_at, 60.0)


def chosen(of: Taken) -> tuple[str, str, bool]:
    occurrence, next_at, skipped = choose(of)
    return f"{occurrence:%d %H:%M}", f"{next_at:%d %H:%M}", skipped


FROM, UNTIL = "2026-01-05T09:00+01:00", "2026-01-08T12:00+01:00"


def test_of_what_was_missed_once_runs_the_latest() -> None:
    assert chosen(taken("once", FROM, UNTIL)) == ("08 08:00", "09 08:00", False)


def test_of_what_was_missed_all_runs_each_in_order() -> None:
    assert chosen(taken("all", FROM, UNTIL)) == ("05 08:00", "06 08:00", False)


def test_of_what_was_missed_skip_runs_none() -> None:
    assert chosen(taken("skip", FROM, UNTIL)) == ("08 08:00", "09 08:00", True)


def test_what_is_a_minute_late_was_not_missed() -> None:
    assert chosen(taken("skip", FROM, "2026-01-05T09:01+01:00")) == ("05 08:00", "06 08:00", False)
    assert chosen(taken("skip", FROM, "2026-01-05T09:01:01+01:00")) == ("05 08:00", "06 08:00", True)
    assert chosen(taken("skip", FROM, "2026-01-06T09:00:30+01:00")) == ("06 08:00", "07 08:00", False)


def test_what_failed_was_not_missed() -> None:
    assert chosen(taken("skip", FROM, "2026-01-05T11:00+01:00", failures=3)) == ("05 08:00", "06 08:00", False)


@pytest.mark.parametrize(("missed", "runs"), [("once", 1), ("all", 3), ("skip", 0)])
async def test_workers_that_come_back_make_up_for_what_they_missed_as_they_are_told(
    url: str, missed: str, runs: int
) -> None:
    last = (datetime.now(UTC) - timedelta(minutes=30)).replace(second=0, microsecond=0)
    add(url, cron=f"{last.minute} * * * *", time_zone="UTC", missed=missed)
    is_due(url, since=last - timedelta(hours=2))
    seen: list[Any] = []
    async with running(url, route(Recorder(), events=seen)):
        await await_until(lambda: rows(url, "SELECT 1 FROM outbox.schedules WHERE next_at > now()"))
    assert rows(url, "SELECT count(*), coalesce(sum(enqueued), 0) FROM outbox.schedule_runs") == [(runs, 2 * runs)]
    assert len([event for event in seen if isinstance(event, ScheduleSkipped)]) == (missed == "skip")


# What goes wrong


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELECT email AS recipient, 1 / (length(name) - 3) AS priority FROM customers", "division by zero"),
        ("SELECT email AS recipient, (name || ' 1')::int AS priority FROM customers", "for type integer: …"),
        ("SELECT name || chr(10) AS recipient FROM customers", "recipient of a notification is empty"),
        ("SELECT email AS recipient, 'k' AS idempotency_key FROM customers", "idempotency key … already stands"),
        ("SELECT email AS recipient FROM customers WHERE refuse(name)", "RaiseException: …"),
        ("SELECT email AS recipient FROM customers, pg_sleep(30)", "canceling statement due to statement timeout"),
    ],
)
async def test_a_query_that_fails_leaves_nothing_and_says_why_without_a_value(
    url: str, query: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(
        url,
        "CREATE OR REPLACE FUNCTION refuse(text) RETURNS boolean LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '\"%%\"', $1; END $$".replace("%%", "%"),
    )
    add(url, query=query, timeout=0.3)
    due = is_due(url)
    seen: list[Any] = []
    monkeypatch.setattr(scheduling, "_SPREAD", 0.0)
    async with running(url, route(Recorder(), events=seen)):
        failed = await await_until(lambda: [event for event in seen if isinstance(event, ScheduleFailed)])
    (told,) = failed
    assert problem in told.problem
    assert "Ada" not in told.problem
    assert "ada" not in told.problem
    assert 4 < told.pause <= 5
    assert count(url) == 0
    assert rows(url, "SELECT failures, problem, next_at FROM outbox.schedules") == [(1, told.problem, due)]
    assert rows(url, "SELECT occurrence, enqueued, failures, error FROM outbox.schedule_runs") == [
        (due, None, 1, told.problem)
    ]
    assert await turn(url) is None, "not before its time"


async def test_what_failed_is_tried_again_and_then_done(url: str) -> None:
    add(url)
    due = is_due(url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        pauses = [await fire.failed(conn, "digest", next_at=due, occurrence=due, problem="no") for _ in range(9)]
        assert [round(pause or 0) for pause in pauses] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
        moved = await fire.failed(conn, "digest", next_at=due - timedelta(days=1), occurrence=due, problem="no")
        assert moved is None, "somebody has moved it on"
    rows(url, "UPDATE outbox.schedules SET retry_at = now()")
    assert isinstance(await turn(url), ScheduleRan)
    assert rows(url, "SELECT failures, problem, retry_at FROM outbox.schedules") == [(0, None, None)]
    assert rows(url, "SELECT enqueued, failures, error FROM outbox.schedule_runs") == [(2, 9, None)]


async def test_one_that_fails_or_is_far_behind_keeps_none_of_the_others_waiting(url: str) -> None:
    add(url, "bad", query="SELECT email AS recipient, 1 / (length(name) - 3) AS priority FROM customers")
    add(url, "behind", "* * * * *", missed="all")
    add(url, "good")
    is_due(url, since=timedelta(days=2), name="bad")
    is_due(url, since=timedelta(days=1), name="behind")
    is_due(url, name="good")
    async with running(url, route(Recorder())):
        await await_until(lambda: rows(url, "SELECT 1 FROM outbox.schedule_runs WHERE schedule = 'good'"))
        behind = rows(url, "SELECT count(*) FROM outbox.schedule_runs WHERE schedule = 'behind'")[0][0]
    assert behind < 20


async def test_a_worker_in_a_database_that_was_not_migrated_since_works_and_says_so(cloned_url: str) -> None:
    rows(cloned_url, "DROP TABLE outbox.schedules CASCADE")
    seen: list[Any] = []
    async with running(cloned_url, route(Recorder(), events=seen)):
        await await_until(lambda: [event for event in seen if getattr(event, "chore", "") == "schedules"])


# In time


async def test_a_worker_runs_it_within_a_second_also_what_was_added_while_it_slept(url: str) -> None:
    seen: list[Any] = []
    async with running(url, route(Recorder(), events=seen), idle_after=0.01):
        await await_until(lambda: rows(url, "SELECT 1 FROM outbox.workers WHERE idle <> '{}'"))
        await asyncio.to_thread(add, url)
        with psycopg.connect(url) as conn:
            conn.execute("UPDATE outbox.schedules SET next_at = clock_timestamp() + interval '1.5 s', cron = '@daily'")
        (ran,) = await await_until(lambda: [event for event in seen if isinstance(event, ScheduleRan)])
    assert ran.late < 1


async def test_where_there_are_no_schedules_a_worker_looks_once_and_makes_no_connection(url: str) -> None:
    looks = 0
    find = fire.find

    async def counting(conn: psycopg.AsyncConnection[Any]) -> fire.Due:
        nonlocal looks
        looks += 1
        return await find(conn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fire, "find", counting)
        patch.setattr(scheduling, "Link", None)
        async with running(url, route(Recorder())):
            await await_until(lambda: rows(url, "SELECT 1 FROM outbox.workers"))
            began = time.monotonic()
            await await_until(lambda: time.monotonic() - began > 1)
    assert 1 <= looks <= 3, "at the start, and when it begins to hear"


# By hand


def test_what_is_paused_does_not_run_and_makes_up_for_nothing_when_it_is_resumed(url: str) -> None:
    add(url, missed="all")
    with psycopg.connect(url) as conn:
        assert schedules.pause(conn, "digest")
        assert not schedules.pause(conn, "digest")
    is_due(url, since=timedelta(days=30))
    assert asyncio.run(turn(url)) is None
    with psycopg.connect(url) as conn:
        resumed = schedules.resume(conn, "digest")
        assert resumed.next_at > resumed.now
        assert resumed.paused_at is None
        assert schedules.resume(conn, "digest").next_at == resumed.next_at
    assert asyncio.run(turn(url)) is None
    assert count(url) == 0


def test_run_now_runs_it_in_the_callers_transaction_and_moves_no_occurrence(url: str) -> None:
    add(url)
    before = rows(url, "SELECT next_at FROM outbox.schedules")
    with psycopg.connect(url) as conn:
        assert schedules.run_now(conn, "digest") == 2
        conn.rollback()
        assert schedules.run_now(conn, "digest") == 2
        assert schedules.run_now(conn, "digest") == 2
    assert count(url) == 4
    assert rows(url, "SELECT next_at FROM outbox.schedules") == before
    with psycopg.connect(url) as conn:
        first, second = schedules.runs(conn, "digest")
    assert first.occurrence > second.occurrence
    assert (first.enqueued, first.ran_by) == (2, rows(url, "SELECT current_user::text")[0][0])


def test_run_now_says_what_the_query_ran_into(url: str) -> None:
    add(url)
    rows(url, "DROP TABLE customers")
    with psycopg.connect(url) as conn, pytest.raises(psycopg.errors.UndefinedTable, match="customers"):
        schedules.run_now(conn, "digest")


def test_what_is_removed_is_gone_and_what_it_enqueued_stays(url: str) -> None:
    add(url)
    with psycopg.connect(url) as conn:
        schedules.run_now(conn, "digest")
        schedules.remove(conn, "digest")
        assert schedules.list_all(conn) == []
        assert schedules.runs(conn) == []
    assert count(url) == 2


@pytest.mark.parametrize("what", ["remove", "pause", "resume", "run_now", "find", "contents"])
def test_a_schedule_that_is_not_there_is_named_with_the_one_that_was_meant(url: str, what: str) -> None:
    add(url)
    with psycopg.connect(url) as conn, pytest.raises(UnknownSchedule, match="'digset': did you mean digest"):
        getattr(schedules, what)(conn, "digset")


def test_a_replacement_that_comes_due_when_the_old_one_did_moves_no_occurrence(url: str) -> None:
    add(url)
    due = is_due(url, since=timedelta(minutes=1))
    rows(url, "UPDATE outbox.schedules SET failures = 3, problem = 'no', retry_at = now() + interval '1 h'")
    with pytest.raises(InvalidSchedule, match="there is a schedule 'digest' already"):
        add(url)
    add(url, template="better", replace=True)
    assert rows(url, "SELECT next_at, failures, problem, retry_at, defaults FROM outbox.schedules") == [
        (due, 0, None, None, {"channel": "email", "template": "better"})
    ]
    add(url, cron="0 10 * * MON", replace=True)
    assert rows(url, "SELECT 1 FROM outbox.schedules WHERE next_at > now()") == [(1,)]


def test_the_next_occurrences_are_those_of_the_schedule(url: str) -> None:
    add(url, cron="30 2 * * *")
    with psycopg.connect(url) as conn:
        found = schedules.find(conn, "digest")
        soon = schedules.occurrences(found, 3)
        schedules.pause(conn, "digest")
        assert schedules.occurrences(schedules.find(conn, "digest"), 3) == soon
    assert soon[0] == found.next_at
    assert len(soon) == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_everything_can_be_done_on_any_connection_in_its_transaction(kind: Any, url: str) -> None:
    async with opened(kind, url) as transaction:

        async def do(name: str, *given: Any, **fields: Any) -> Any:
            if isinstance(transaction, Async):
                return await getattr(schedules, f"a{name}")(transaction.conn, *given, **fields)
            return getattr(schedules, name)(transaction.conn, *given, **fields)

        with pytest.raises(InvalidSchedule, match="did you mean recipient"):
            await do("add", "digest", "@daily", "SELECT email AS recipent FROM customers", channel="email")
        added = await do("add", "digest", "@daily", QUERY, channel="email", payload={"text": "%s :name"})
        assert added.next_at > added.now
        assert (await do("find", "digest")).next_at == added.next_at
        assert [each.name for each in await do("list_all")] == ["digest"]
        found = await do("contents", "digest")
        assert (found.query, found.columns) == (QUERY, ["recipient", "payload"])
        assert found.defaults == {"channel": "email", "payload": {"text": "%s :name"}}
        assert await do("pause", "digest")
        assert (await do("resume", "digest")).next_at == added.next_at
        assert await do("run_now", "digest") == 2
        assert [run.enqueued for run in await do("runs")] == [2]
        with pytest.raises(UnknownSchedule):
            await do("remove", "digset")
        await transaction.rollback()
    assert rows(url, "SELECT 1 FROM outbox.schedules") == []
    assert count(url) == 0


# The record of runs


async def test_runs_are_on_record_for_ninety_days(url: str) -> None:
    add(url, missed="all")
    for days in (91, 89):
        rows(
            url,
            "INSERT INTO outbox.schedule_runs (schedule, occurrence, ran_by, enqueued) "
            "VALUES ('digest', now() - make_interval(days => %s), 'x', 0)",
            days,
        )
    is_due(url)
    await turn(url)
    assert rows(url, "SELECT count(*) FROM outbox.schedule_runs WHERE occurrence < now() - interval '90 days'") == [
        (0,)
    ]
    assert rows(url, "SELECT count(*) FROM outbox.schedule_runs") == [(2,)]


# A great many


async def test_a_hundred_thousand_rows_are_enqueued_in_one_transaction(url: str) -> None:
    query = "SELECT 'user' || n || '@example.org' AS recipient FROM generate_series(1, 100000) AS n"
    add(url, query=query, template="digest")
    is_due(url)
    told = await turn(url)
    assert isinstance(told, ScheduleRan)
    assert told.enqueued == 100_000
    assert told.seconds < 60, "it takes a tenth of that"
