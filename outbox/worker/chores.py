"""chores: what must be done now and then by somebody, and is done by whichever worker's turn comes."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.database import Link, describe
from outbox.events import ChoreFailed
from outbox.queue import attend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg import AsyncConnection

    from outbox.events import Listener

_EVERY = 600.0
_ADVISORY_LOCK = 7_306_076_014
_LOCK_TIMEOUT = "100ms"  # every claim waits as long as we do, behind us


class _Locked(Exception):
    """A lock was not to be had: no trouble of the connection, so nothing to try again before the next turn."""


async def ensure_partitions(conn: AsyncConnection[Any]) -> None:
    """Create the partitions of the next 14 days."""
    await conn.execute("SELECT outbox.ensure_partitions()")


async def sweep_workers(conn: AsyncConnection[Any]) -> None:
    """Strike off the workers that vanished."""
    await attend.sweep(conn)


CHORES: tuple[tuple[str, Callable[[AsyncConnection[Any]], Awaitable[None]]], ...] = (
    ("ensure_partitions", ensure_partitions),
    ("sweep_workers", sweep_workers),
)


async def run_chores(url: str, listener: Listener) -> None:
    """Do every chore now, and about every ten minutes, until cancelled. One that fails waits for its next turn.

    The connection is made for the occasion, so that no claim ever waits behind a chore that waits for a lock.
    """
    link = Link(url, "chores", listener)
    while True:
        for name, chore in CHORES:
            try:
                await link.run(lambda conn, chore=chore: _alone(conn, chore))  # type: ignore[misc]
            except (psycopg.Error, _Locked) as error:
                # A worker's role need not be allowed to create tables: `outbox migrate` does the same.
                listener(ChoreFailed(name, describe(error)))
        await link.aclose()
        await asyncio.sleep(_EVERY * random.uniform(0.8, 1.2))


async def _alone(conn: AsyncConnection[Any], chore: Callable[[AsyncConnection[Any]], Awaitable[None]]) -> None:
    async with conn.transaction():
        cursor = await conn.execute("SELECT pg_try_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
        row = await cursor.fetchone()
        if row and row[0]:
            await conn.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            try:
                await chore(conn)
            except psycopg.errors.LockNotAvailable as error:
                raise _Locked(describe(error)) from error
