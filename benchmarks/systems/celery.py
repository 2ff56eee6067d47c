"""Celery on RabbitMQ: persistent messages, confirmed by the broker, acknowledged after the task."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.systems.actions import run
from benchmarks.systems.driver import Absent, Driver, payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.systems.driver import Send
    from benchmarks.systems.shift import Shift

_QUEUE = "bench"
_PUBLISHERS = 8  # each waits for the broker's disk, as a rule
_LOOK = 0.02  # seconds between two looks at the queue


def _app(url: str) -> Any:
    from celery import Celery

    logging.getLogger("celery").setLevel(logging.ERROR)
    app = Celery("bench", broker=url)
    app.conf.update(
        broker_transport_options={"confirm_publish": True},
        broker_heartbeat=0,
        task_acks_late=True,
        task_default_queue=_QUEUE,
        task_ignore_result=True,
        worker_disable_rate_limits=True,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
    )
    return app


class CeleryDriver(Driver):
    """It keeps nothing of what it has done; the tasks cannot be coroutines, so they wait in greenlets."""

    distribution = "celery"

    def setup(self, url: str) -> None:
        """Delete the queue, and declare it."""
        app = _app(url)
        with app.connection_for_write() as connection, connection.channel() as channel:
            channel.queue_delete(_QUEUE)
            app.amqp.queues[_QUEUE].bind(channel).declare()

    @asynccontextmanager
    async def sender(self, url: str) -> AsyncIterator[Send]:
        """Publish on one connection, each message confirmed."""
        app = _app(url)
        task = app.task(_unused, name=_QUEUE)
        with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:

            async def send(numbers: Sequence[int]) -> None:
                for number in numbers:
                    task.apply_async(kwargs=payload(number), producer=producer)

            yield send

    def bulk(self, url: str, count: int, *, keyed: bool) -> None:
        """Publish from several processes, one after the other in each: there is nothing for many at once."""
        if keyed:
            raise Absent("RabbitMQ has no unique keys")
        shares = [(url, range(share, count, _PUBLISHERS)) for share in range(_PUBLISHERS)]
        with multiprocessing.get_context("fork").Pool(_PUBLISHERS) as pool:
            pool.starmap(_publish, shares, chunksize=1)
            pool.close()
            pool.join()

    def work(self, url: str, shift: Shift) -> str:
        """Run one worker process: its tasks inline, or in greenlets where they wait."""
        if shift.pause:
            from gevent import monkey

            monkey.patch_all()
        app = _app(url)
        prefetch = 1_000
        pool, concurrency = ("gevent", 500) if shift.pause else ("solo", 1)

        @app.task(name=_QUEUE)  # type: ignore[untyped-decorator]
        def job(n: int, **_: object) -> None:
            shift.begin(n)
            if shift.pause:
                time.sleep(shift.pause)
            shift.completed()

        worker = app.Worker(
            pool=pool,
            concurrency=concurrency,
            prefetch_multiplier=max(prefetch // concurrency, 1),
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel="ERROR",
            quiet=True,
        )
        shift.ready()
        threading.Thread(target=_end, args=[app, shift], daemon=True).start()
        worker.start()
        return f"{pool}, concurrency {concurrency}, prefetch {prefetch}"


def _publish(url: str, numbers: range) -> None:
    app = _app(url)
    task = app.task(_unused, name=_QUEUE)
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for number in numbers:
            task.apply_async(kwargs=payload(number), producer=producer)


def _unused(**_: object) -> None:
    """Stand for the task where it is only published."""


def _end(app: Any, shift: Shift) -> None:
    """Let the worker stop when its time is over, or when nothing waits and nothing is in hand."""
    from celery.worker import state

    if shift.seconds:
        time.sleep(shift.seconds)
    else:
        with app.connection_for_read() as connection, connection.channel() as channel:
            empty = 0
            while empty < 3:  # noqa: PLR2004 - looks, while messages are between the broker and us
                time.sleep(_LOOK)
                waiting = channel.queue_declare(_QUEUE, passive=True).message_count
                empty = empty + 1 if not waiting and not state.reserved_requests else 0
    state.should_stop = 0


if __name__ == "__main__":
    run(CeleryDriver())
