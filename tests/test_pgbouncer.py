"""Everything through PgBouncer in transaction mode, which hears no LISTEN and mixes up prepared statements."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import outbox
from outbox import events, schedules
from outbox.database import is_pooled
from outbox.worker.chores import Chore, run_chores
from tests import pooler
from tests.command_line import run
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.pooler import Pooler
from tests.recorder import Recorder, route
from tests.test_command_sessions import MAPPING, POOLED, PREFERENCE, SUPPRESSION, WRITTEN, task_of
from tests.test_worker import running, states
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg import AsyncConnection

pytestmark = pytest.mark.skipif(pooler.PROGRAM is None, reason="no pgbouncer on PATH or in /usr/sbin")

NOTIFICATION: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org", "payload": {"n": 1}}
TIMES = 12  # psycopg prepares what it has sent five times


@pytest.fixture
def pooled(cloned_url: str) -> Iterator[Pooler]:
    with Pooler(cloned_url, size=3) as made:
        yield made


@pytest.fixture
def narrow(cloned_url: str) -> Iterator[Pooler]:
    """Everybody shares one connection to the server."""
    with Pooler(cloned_url, size=1) as made:
        yield made


def with_psycopg(url: str) -> None:
    for number in range(TIMES):
        with (
            psycopg.connect(url, prepare_threshold=None) as conn,
            psycopg.connect(url, prepare_threshold=None) as other,
        ):
            outbox.enqueue(conn, **NOTIFICATION, idempotency_key=f"{number}")
            outbox.enqueue(other, **NOTIFICATION)
            other.rollback()


async def with_asynchronous_psycopg(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, prepare_threshold=None) as conn:
        for _ in range(TIMES):
            await outbox.aenqueue(conn, **NOTIFICATION)
            await conn.commit()
            await outbox.aenqueue(conn, **NOTIFICATION)
            await conn.rollback()


async def with_asyncpg(url: str) -> None:
    conn = await asyncpg.connect(url, statement_cache_size=0)
    try:
        for _ in range(TIMES):
            async with conn.transaction():
                await outbox.aenqueue(conn, **NOTIFICATION)
            transaction = conn.transaction()
            await transaction.start()
            await outbox.aenqueue(conn, **NOTIFICATION)
            await transaction.rollback()
    finally:
        await conn.close()


def with_sqlalchemy(url: str) -> None:
    engine = sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), connect_args={"prepare_threshold": None}
    )
    for _ in range(TIMES):
        with engine.begin() as conn:
            outbox.enqueue(conn, **NOTIFICATION)
        with engine.connect() as conn:
            outbox.enqueue(conn, **NOTIFICATION)
    engine.dispose()


async def with_asynchronous_sqlalchemy(url: str) -> None:
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), connect_args={"prepare_threshold": None}
    )
    for _ in range(TIMES):
        async with engine.begin() as conn:
            await outbox.aenqueue(conn, **NOTIFICATION)
        async with engine.connect() as conn:
            await outbox.aenqueue(conn, **NOTIFICATION)
    await engine.dispose()


WAYS = [with_psycopg, with_asynchronous_psycopg, with_asyncpg, with_sqlalchemy, with_asynchronous_sqlalchemy]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.removeprefix("with_"))
async def test_what_commits_through_it_is_enqueued_and_what_does_not_is_not(
    way: Any, pooled: Pooler, cloned_url: str
) -> None:
    done = way(pooled.url)
    if done is not None:
        await done
    assert states(cloned_url) == {"due": TIMES}


@pytest.mark.parametrize("arguments", [(), ("--processes", "2")], ids=["two workers", "two of two processes"])
def test_workers_through_it_deliver_everything_though_one_is_killed(
    tmp_path: Path, pooled: Pooler, cloned_url: str, arguments: tuple[str, ...]
) -> None:
    identities = {str(identity) for identity in enqueue(cloned_url, 300)}
    with Fleet(tmp_path, pooled.url, took=0.02) as fleet:
        started = [fleet.start("--concurrency", "5", *arguments) for _ in range(2)]
        wait_until(lambda: len(fleet.lines("sent")) >= 60, timeout=30)
        ((victim,),) = rows(cloned_url, "SELECT pid FROM outbox.workers ORDER BY id LIMIT 1")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: rows(cloned_url, "SELECT 1 FROM outbox.queue") == [], timeout=30)
        (late,) = enqueue(pooled.url)
        wait_until(lambda: str(late) in fleet.lines("sent"))
        ((open_ones,),) = rows(
            cloned_url,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'",
        )
        assert open_ones <= 3, "whatever the number of processes"
        for process in started:
            process.terminate()
        assert {process.wait(timeout=20) for process in started} <= {0, -signal.SIGKILL}, fleet.log()
        assert set(fleet.lines("sent")) == identities | {str(late)}
        assert "notifications do not arrive through this connection" in fleet.log()
        assert "prepared statement" not in fleet.log()
        assert "away" not in fleet.log()
    assert states(cloned_url) == {"sent": 301}
    chores = rows(cloned_url, "SELECT done_by IS NOT NULL, problem FROM outbox.chores")
    assert set(chores) == {(True, None)}


async def test_a_worker_is_not_fooled_when_all_share_one_connection_and_prepares_nothing(
    narrow: Pooler, cloned_url: str
) -> None:
    with psycopg.connect(narrow.url, autocommit=True) as fooled:
        fooled.execute("LISTEN outbox")
        fooled.execute("NOTIFY outbox, 'hears'")
        assert [notice.payload for notice in fooled.notifies(timeout=1, stop_after=1)] == ["hears"]
    seen: list[events.Event] = []
    recorder = Recorder()
    async with running(narrow.url, route(recorder, events=seen), idle_poll=0.2):
        await await_until(lambda: any(isinstance(event, events.ListenUnheard) for event in seen))
        for count in range(1, 21):
            enqueue(cloned_url)
            await await_until(lambda: len(recorder.sent) == count)  # noqa: B023 - called before the next turn
        assert rows(cloned_url, "SELECT idle FROM outbox.workers") == [([],)], "nobody notifies for its sake"
        assert rows(narrow.url, "SELECT statement FROM pg_prepared_statements") == []
        assert rows(narrow.url, "SELECT pg_listening_channels()") == []
    assert not any(isinstance(event, events.DatabaseLost) for event in seen)
    assert states(cloned_url) == {"sent": 20}


async def test_it_is_told_from_the_server_itself(pooled: Pooler, cloned_url: str) -> None:
    for url, expected in ((pooled.url, True), (cloned_url, False)):
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            assert await is_pooled(conn) == expected


async def test_chores_through_it_are_done_one_at_a_time_and_leave_nothing_on_the_connection(
    pooled: Pooler, cloned_url: str
) -> None:
    now = most = count = 0

    async def step(conn: AsyncConnection[Any]) -> None:
        nonlocal now, most, count
        now += 1
        most = max(most, now)
        await conn.execute("SELECT pg_sleep(0.02)")
        now -= 1
        count += 1

    chores = [Chore("first", 0.1, step), Chore("second", 0.1, step)]
    tasks = [asyncio.create_task(run_chores(pooled.url, print, chores)) for _ in range(4)]
    await await_until(lambda: count >= 10)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert most == 1
    locks = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    await await_until(lambda: rows(cloned_url, locks) == [(0,)])
    for setting in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        assert rows(pooled.url, f"SHOW {setting}") == [("0",)]


async def test_a_schedule_runs_through_it_and_leaves_nothing_on_the_connection(narrow: Pooler, cloned_url: str) -> None:
    query = "SELECT 'ada@example.org' AS recipient, '{}'::jsonb AS payload FROM pg_sleep(0.5)"
    with psycopg.connect(narrow.url, prepare_threshold=None) as conn:
        schedules.add(conn, "digest", "@daily", query, channel="sms", timeout=30.0, time_zone="Asia/Kathmandu")
    rows(cloned_url, "UPDATE outbox.schedules SET next_at = now()")
    async with running(narrow.url, route(Recorder())):
        await await_until(lambda: rows(cloned_url, "SELECT 1 FROM outbox.schedule_runs WHERE enqueued = 1"))
    with psycopg.connect(narrow.url, prepare_threshold=None) as conn:
        shown = [
            conn.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("statement_timeout", "idle_in_transaction_session_timeout", "client_connection_check_interval")
        ]
        path, zone = (conn.execute(f"SHOW {name}".encode()).fetchone() for name in ("search_path", "timezone"))
    assert shown == [("0",)] * 3
    assert (path, zone != ("Asia/Kathmandu",)) == (('"$user", public',), True)


def test_an_import_of_tasks_through_it_leaves_no_setting_behind(
    narrow: Pooler, cloned_url: str, tmp_path: Path
) -> None:
    file, mapping = tmp_path / "tasks.json", tmp_path / "mapping.toml"
    file.write_text("".join(json.dumps(task_of(number)) + "\n" for number in range(TIMES)))
    mapping.write_text(MAPPING)
    for imported in (TIMES, 0):
        done = run(narrow.url, "import", "celery", file, "--map", mapping, "--chunk", "1", "--json")
        assert (done.exit_code, json.loads(done.stdout)["imported"]) == (0, imported)
        assert rows(narrow.url, "SHOW lock_timeout") == [("0",)]
    assert states(cloned_url) == {"due": TIMES}


@pytest.mark.parametrize(("table", "lines"), [("suppress", SUPPRESSION), ("preference", PREFERENCE)])
def test_an_import_of_a_file_refuses_it(pooled: Pooler, cloned_url: str, table: str, lines: str) -> None:
    done = run(pooled.url, table, "import", "-", given=lines)
    assert (done.exit_code, done.stderr) == (1, POOLED)
    assert rows(cloned_url, WRITTEN) == [(0, 0)]
    assert run(cloned_url, table, "import", "-", given=lines).exit_code == 0
