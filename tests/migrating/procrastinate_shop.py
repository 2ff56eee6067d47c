"""An application on procrastinate: its own schema, its own defers, its own worker."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import procrastinate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import datetime


def tasks(app: procrastinate.App, done: list[int]) -> dict[str, Any]:
    """Return its tasks; a worker notes in `done` which jobs it has done."""

    async def welcome(context: Any, **_: Any) -> None:
        await asyncio.sleep(0.01)
        done.append(context.job.id)

    async def invoice(order: int) -> None:
        raise LookupError(order)

    async def daily_report(timestamp: int) -> None:
        """Come every second, though it is called daily."""

    app.periodic(cron="* * * * * *")(app.task(name="shop.tasks.daily_report")(daily_report))
    return {
        "welcome": app.task(name="shop.tasks.welcome", pass_context=True)(welcome),
        "invoice": app.task(name="shop.tasks.invoice", queue="money")(invoice),
    }


@contextlib.contextmanager
def shop(url: str) -> Iterator[dict[str, Any]]:
    """Its tasks, on an open connection; whoever comes first makes the schema."""
    app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=url))
    with app.open():
        if not app.check_connection():
            app.schema_manager.apply_schema()
        yield tasks(app, []) | {"app": app}


def defer(task: Any, run_at: datetime | None = None, *, arguments: dict[str, Any], **options: Any) -> int:
    """Defer a job; return its id."""
    identity: int = task.configure(schedule_at=run_at, **options).defer(**arguments)
    return identity


@contextlib.asynccontextmanager
async def worker(url: str, done: list[int], concurrency: int = 2) -> AsyncIterator[None]:
    """Have a worker of procrastinate's at work, in this process, as long as the block lasts."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    tasks(app, done)
    async with app.open_async():
        work = app.run_worker_async(
            concurrency=concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=0.05,
            listen_notify=False,
        )
        running = asyncio.create_task(work)
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
