"""Procrastinate, by psycopg; it keeps its finished jobs and their events."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.systems.actions import run
from benchmarks.systems.driver import Driver, chunks, payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.systems.driver import Send
    from benchmarks.systems.shift import Shift

_BULK = 5_000
_TASK = "bench"


def _app(url: str, connections: int) -> Any:
    from procrastinate import App, PsycopgConnector

    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    return App(connector=PsycopgConnector(conninfo=url, min_size=connections, max_size=connections))


class Procrastinate(Driver):
    """It fetches one job a query, so that more than some dozens of jobs at once help it nothing."""

    distribution = "procrastinate"
    history = True

    def setup(self, url: str) -> None:
        """Apply its schema."""

        async def apply() -> None:
            async with (app := _app(url, 1)).open_async():
                await app.schema_manager.apply_schema_async()

        asyncio.run(apply())

    @asynccontextmanager
    async def sender(self, url: str) -> AsyncIterator[Send]:
        """Defer in a transaction of its own, on one connection."""
        app = _app(url, 1)
        async with app.open_async():
            job = app.configure_task(_TASK)

            async def send(numbers: Sequence[int]) -> None:
                if len(numbers) == 1:
                    await job.defer_async(**payload(numbers[0]))
                else:
                    await job.batch_defer_async(*map(payload, numbers))

            yield send

    def bulk(self, url: str, count: int, *, keyed: bool) -> None:
        """Defer in batches; its key is the queueing lock."""
        asyncio.run(self._bulk(url, count, keyed=keyed))

    async def _bulk(self, url: str, count: int, *, keyed: bool) -> None:
        app = _app(url, 1)
        async with app.open_async():
            for numbers in chunks(count, _BULK):
                jobs = [
                    app.configure_task(_TASK, queueing_lock=f"job:{number}" if keyed else None).make_new_job(
                        **payload(number)
                    )
                    for number in numbers
                ]
                await app.job_manager.batch_defer_jobs_async(jobs)

    def work(self, url: str, shift: Shift) -> str:
        """Run its worker: without waiting for more, where the queue is to be drained."""
        return asyncio.run(self._work(url, shift))

    async def _work(self, url: str, shift: Shift) -> str:
        concurrency = 50 if shift.pause else 10
        connections = 4
        app = _app(url, connections)

        @app.task(name=_TASK)  # type: ignore[untyped-decorator]
        async def job(n: int, **_: object) -> None:
            await shift.handle(n)

        finish = app.job_manager.finish_job

        async def finish_job(*arguments: Any, **options: Any) -> None:
            await finish(*arguments, **options)
            shift.completed()

        app.job_manager.finish_job = finish_job
        async with app.open_async():
            shift.ready()
            working = asyncio.create_task(
                app.run_worker_async(
                    concurrency=concurrency,
                    wait=shift.is_prompt,
                    listen_notify=shift.is_prompt,
                    install_signal_handlers=False,
                )
            )
            if shift.seconds:
                await asyncio.sleep(shift.seconds)
                working.cancel()
            await asyncio.wait([working])
        if not working.cancelled():
            working.result()
        return f"concurrency {concurrency}, {connections} connections"


if __name__ == "__main__":
    run(Procrastinate())
