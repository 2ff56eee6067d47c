"""An importer that is killed again and again, in the middle of its work, until it gets through."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import sys
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from tests.command_line import run
from tests.waiting import await_until

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

_KILLS = 4


async def kill_often(url: str, words: list[str]) -> None:
    """Run `outbox` with these words to its end, after it was killed four times, each soon after it began to enqueue."""
    chance = random.Random(7)
    with psycopg.connect(url, autocommit=True) as conn:
        for _ in range(_KILLS):
            before = _count(conn)
            importer = _start(url, words)
            await await_until(partial(_has_begun, conn, before, importer), 60)
            await asyncio.sleep(chance.random() * 0.02)
            assert importer.exitcode is None, "it got through before it was killed: give it more to do"
            importer.kill()
            await await_until(partial(_has_ended, importer))
        last = _start(url, words)
        await await_until(partial(_has_ended, last), 60)
        assert last.exitcode == 0


def _start(url: str, words: list[str]) -> ForkServerProcess:
    """Start it in a process that begins with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.migrating.warm", "tests.migrating.killing", "outbox.terminal.importing"])
    importer = context.Process(target=_importing, args=(url, words))
    importer.start()
    return importer


def _importing(url: str, words: list[str]) -> None:
    sys.exit(run(url, *words).exit_code)


def _has_ended(importer: ForkServerProcess) -> bool:
    return importer.exitcode is not None


def _has_begun(conn: psycopg.Connection, before: int, importer: ForkServerProcess) -> bool:
    return _has_ended(importer) or _count(conn) > before


def _count(conn: psycopg.Connection) -> int:
    (count,) = conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() or (0,)
    return int(count)
