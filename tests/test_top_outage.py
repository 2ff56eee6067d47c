"""`outbox top` while its database is away, restarts, or says nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox.devdb import LocalPostgres
from outbox.migrate import upgrade
from outbox.terminal.top.screen import app
from tests.hands import enqueue, rows
from tests.top_screen import until_seen, watching
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'outbox command'"


@pytest.fixture
def server() -> Iterator[LocalPostgres]:
    with LocalPostgres() as made:
        upgrade(made.url)
        yield made


async def test_a_database_that_is_away_is_said_and_comes_back_by_itself(server: LocalPostgres) -> None:
    enqueue(server.url, 2)
    socket = Path(server.host) / f".s.PGSQL.{server.port}"
    async with watching(server.url) as pilot:
        await until_seen(pilot, "email 2")
        with psycopg.connect(server.url, autocommit=True) as admin:
            away = socket.rename(f"{socket}.away")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            screen = await until_seen(pilot, "what is shown is", "the database cannot be reached")
            assert "email 2" in screen, "what was seen before stays"
            await pilot.press("question_mark")
            await until_seen(pilot, "Shift+Tab")
            await pilot.press("escape")
        away.rename(socket)
        await await_until(lambda: not pilot.app.screen.query_one("#banner").display, timeout=20)
        enqueue(server.url, 1)
        await until_seen(pilot, "email 3")


def _goes(url: str, statement: str) -> bool:
    try:
        rows(url, statement)
    except psycopg.OperationalError:
        return False
    return True


async def test_a_restart_of_postgresql_is_survived(server: LocalPostgres) -> None:
    enqueue(server.url, 2)
    async with watching(server.url) as pilot:
        ((backend,), *_) = rows(server.url, OURS)
        os.kill(backend, signal.SIGKILL)  # the server ends every session, and recovers from its log
        await await_until(lambda: _goes(server.url, "SELECT 1"))
        enqueue(server.url, 1)
        await until_seen(pilot, "email 3")
        assert not pilot.app.screen.query_one("#banner").display


async def test_keys_work_while_the_database_says_nothing(
    server: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_SILENT", 0.5)
    enqueue(server.url, 2)
    async with watching(server.url) as pilot:
        backends = [pid for (pid,) in rows(server.url, OURS)]
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        try:
            await until_seen(pilot, "the database has not answered for")
            await pilot.press("question_mark")
            await until_seen(pilot, "Shift+Tab")
            await pilot.press("escape")
        finally:
            for pid in backends:
                os.kill(pid, signal.SIGCONT)
        await await_until(lambda: not pilot.app.screen.query_one("#banner").display, timeout=20)


async def test_a_database_without_the_outbox_is_told_apart(empty_url: str) -> None:
    top = app.Top(empty_url, interval=0.1)
    async with top.run_test(size=(160, 30)) as pilot:
        await until_seen(pilot, "outbox migrate")
        upgrade(empty_url)
        await await_until(lambda: top.scene is not None)
