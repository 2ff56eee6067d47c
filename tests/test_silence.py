"""A connection that has fallen silent is given up soon; a server that takes its time is waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox import database, events, silence
from outbox.database import Link
from outbox.silence import cut
from tests.chaos.proxy import Proxy, upstream_of, url_through
from tests.hands import rows
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from psycopg import AsyncConnection

QUICK = 0.1
_LEFT = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'outbox claim' AND state = 'active'"


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(upstream_of(database_url)) as made:
        yield made


def asking(*statements: str) -> Callable[[AsyncConnection[Any]], Awaitable[Any]]:
    """Work that executes these, and returns the last one's value."""

    async def work(conn: AsyncConnection[Any]) -> Any:
        for statement in statements:
            row = await (await conn.execute(statement.encode())).fetchone()
        return row and row[0]

    return work


def names(seen: list[events.Event]) -> list[str]:
    return [type(event).__name__ for event in seen]


@pytest.mark.parametrize("direction", ["both", "down"])
async def test_a_connection_that_fell_silent_is_made_anew_within_5_seconds(
    proxy: Proxy, database_url: str, direction: str
) -> None:
    seen: list[events.Event] = []
    link = Link(url_through(database_url, proxy.port), "claim", seen.append)
    assert await link.run(asking("SELECT 1")) == 1
    if direction == "both":
        proxy.freeze("outbox claim")
    else:
        proxy.black_holes = {"down"}
        asyncio.get_running_loop().call_later(1, proxy.black_holes.clear)
    began = time.monotonic()
    assert await link.run(asking("SELECT 2")) == 2
    assert time.monotonic() - began < 5
    assert names(seen) == ["DatabaseLost", "DatabaseBack"]
    assert "no answer for" in str(seen[0])
    await link.aclose()


async def test_an_answer_that_is_stuck_half_way_is_asked_for_again(proxy: Proxy, database_url: str) -> None:
    seen: list[events.Event] = []
    link = Link(url_through(database_url, proxy.port), "claim", seen.append, patience=QUICK)
    asked = asyncio.create_task(link.run(asking("SELECT repeat('x', 30000000) FROM pg_sleep(0.3)")))
    await await_until(lambda: rows(database_url, _LEFT) == [(1,)])
    assert proxy.freeze("outbox claim") == 1
    assert len(await asked) == 30_000_000
    assert "DatabaseLost" in names(seen)
    await link.aclose()


async def test_a_server_that_is_at_work_is_waited_for(database_url: str) -> None:
    seen: list[events.Event] = []
    link = Link(database_url, "claim", seen.append, patience=QUICK)
    sleep = "SELECT 1 FROM pg_sleep(0.5)"
    assert await link.run(asking(sleep, sleep, "SELECT 3 FROM pg_sleep(0.5)")) == 3
    assert seen == []
    await link.aclose()


async def test_a_table_that_somebody_has_locked_breaks_no_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = silence._look  # noqa: SLF001 - to see that it was asked

    async def counted(conn: AsyncConnection[Any], pid: int) -> tuple[Any, ...] | None:
        nonlocal looks
        looks += 1
        return await look(conn, pid)

    monkeypatch.setattr(silence, "_look", counted)
    seen: list[events.Event] = []
    link = Link(database_url, "claim", seen.append, patience=QUICK)
    with psycopg.connect(database_url) as somebody:
        somebody.execute("LOCK TABLE outbox.queue")
        asked = asyncio.create_task(link.run(asking("SELECT count(*) FROM outbox.queue")))
        await await_until(lambda: looks >= 3)
    assert await asked == 0
    assert seen == []
    await link.aclose()


async def test_where_nobody_can_be_asked_what_is_slow_is_done_in_the_end_and_only_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def always(_: object) -> bool:
        return True

    monkeypatch.setattr(database, "is_pooled", always)
    seen: list[events.Event] = []
    link = Link(database_url, "claim", seen.append, patience=QUICK)
    rows(database_url, "CREATE TABLE done (n int)")
    try:
        await link.run(asking("INSERT INTO done SELECT 1 FROM pg_sleep(0.7) RETURNING n"))
        assert 1 <= names(seen).count("DatabaseLost") <= 3
        await await_until(lambda: rows(database_url, _LEFT) == [(0,)])
        assert rows(database_url, "SELECT count(*) FROM done") == [(1,)], "what was cut was cancelled before"
    finally:
        rows(database_url, "DROP TABLE done")
    await link.aclose()


def test_a_statement_that_hangs_is_ended_from_another_thread(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        threading.Timer(0.2, cut, [conn]).start()
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT pg_sleep(30)")
        assert time.monotonic() - began < 5
