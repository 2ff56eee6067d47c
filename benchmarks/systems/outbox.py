"""outbox itself, with full history: a channel of the user's own, and the worker that `outbox worker` runs."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.systems.actions import run
from benchmarks.systems.driver import Driver, chunks, payload
from outbox import aenqueue_many, enqueue, enqueue_many

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from benchmarks.systems.driver import Send
    from benchmarks.systems.shift import Shift
    from outbox.events import Event

_CHANNEL = "bench"
_BULK = 10_000
_LANES = 2


def _notification(number: int, *, keyed: bool = False) -> dict[str, Any]:
    key = {"idempotency_key": f"job:{number}"} if keyed else {}
    return {"channel": _CHANNEL, "recipient": "ada", "payload": payload(number)} | key


class Outbox(Driver):
    """The system under test."""

    distribution = "outbox"
    history = True

    def setup(self, url: str) -> None:
        """Migrate."""
        from outbox import migrate  # a worker does not import Alembic either

        migrate.upgrade(url)

    @asynccontextmanager
    async def sender(self, url: str) -> AsyncIterator[Send]:
        """Enqueue in a statement that is a transaction of its own, which is how the others do it."""
        with psycopg.connect(url, autocommit=True) as conn:

            async def send(numbers: Sequence[int]) -> None:
                if len(numbers) == 1:
                    enqueue(conn, **_notification(numbers[0]), allow_autocommit=True)
                else:
                    enqueue_many(conn, map(_notification, numbers), allow_autocommit=True)

            yield send

    def bulk(self, url: str, count: int, *, keyed: bool) -> None:
        """Enqueue with `aenqueue_many`, a transaction a chunk, two at once."""
        asyncio.run(self._bulk(url, iter(chunks(count, _BULK)), keyed=keyed))

    async def _bulk(self, url: str, rest: Iterator[range], *, keyed: bool) -> None:
        async def lane() -> None:
            async with await psycopg.AsyncConnection.connect(url) as conn:
                for numbers in rest:
                    await aenqueue_many(conn, [_notification(number, keyed=keyed) for number in numbers])
                    await conn.commit()

        await asyncio.gather(*(lane() for _ in range(_LANES)))

    def work(self, url: str, shift: Shift) -> str:
        """Run a worker process."""
        # Here, so that a client that enqueues imports no more than an application does.
        from benchmarks.systems import noop
        from outbox import config
        from outbox.events import Claimed, Settled
        from outbox.worker import process

        noop.shift = shift
        concurrency = 2_000 if shift.pause else 1_000
        settings = config.load(
            Path(os.devnull),
            environ={},
            overrides={
                "database.url": url,
                "worker.concurrency": concurrency,
                f"channels.{_CHANNEL}.providers": [noop.__name__],
            },
        )

        def listen(event: Event) -> None:
            kind = type(event)
            if kind is Settled:
                shift.completed()
            elif kind is Claimed:
                shift.claimed(event.seconds)  # type: ignore[union-attr]

        shift.ready()
        if shift.seconds:
            end = threading.Timer(shift.seconds, os.kill, [os.getpid(), signal.SIGTERM])
            end.daemon = True
            end.start()
        process.run(settings, [_CHANNEL], listen, levels=range(10), drain=not shift.is_prompt)
        return f"concurrency {concurrency}"

    def jobs_deleted(self) -> str:
        """Return SQL for the rows that have left the queue."""
        return "SELECT pg_stat_get_tuples_deleted('outbox.queue'::regclass)"


if __name__ == "__main__":
    run(Outbox())
