"""An application on pgqueuer: its own schema, its own enqueues, its own queue manager."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
from pgqueuer.db import PsycopgDriver
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def shop(url: str) -> AsyncIterator[Queries]:
    """Its queries, on a connection of their own; whoever comes first installs it."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        queries = Queries(PsycopgDriver(conn))
        if not await queries.has_table("pgqueuer"):
            await queries.install()
        yield queries


@contextlib.asynccontextmanager
async def worker(url: str, done: list[int]) -> AsyncIterator[None]:
    """Have a queue manager of pgqueuer's at work, in this process, as long as the block lasts."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        manager = QueueManager(Queries(PsycopgDriver(conn)))

        async def welcome(job: Any) -> None:
            await asyncio.sleep(0.005)
            done.append(job.id)

        manager.entrypoint("welcome")(welcome)
        running = asyncio.create_task(manager.run(batch_size=2))
        try:
            yield
        finally:
            manager.shutdown.set()
            await asyncio.wait_for(running, 20)
