"""What a driver in Python is: a system that can be set up, be given work, and do it."""

from __future__ import annotations

import asyncio
import multiprocessing
import platform
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from multiprocessing.synchronize import Barrier
    from typing import TypeAlias

    from benchmarks.systems.shift import Shift

    Send: TypeAlias = Callable[[Sequence[int]], Awaitable[None]]


class Absent(Exception):
    """The system, or this part of it, is not there: the message says why."""


def payload(number: int) -> dict[str, Any]:
    """Return the payload of a job: about 300 bytes of JSON, the same for every system."""
    return {"n": number, "name": "Ada Lovelace", "text": "x" * 240}


def chunks(count: int, size: int) -> list[range]:
    """Cut the numbers from 0 to `count` into ranges of `size`."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


class Driver:
    """One system. A driver of it overrides what the system can do; the rest is reported as absent."""

    distribution: str  # on the package index
    history: bool | None = False  # whether it keeps what it has done

    def version(self) -> tuple[str, str]:
        """Return its version, and what it runs on. Raises `Absent` where it is not installed."""
        try:
            return version(self.distribution), f"Python {platform.python_version()}"
        except ModuleNotFoundError as error:
            raise Absent(f"{self.distribution} is not installed") from error

    def setup(self, url: str) -> None:
        """Create what the system needs in an empty database."""
        raise NotImplementedError

    def sender(self, url: str) -> AbstractAsyncContextManager[Send]:
        """Return a client with a connection of its own: it enqueues the jobs of these numbers, and commits."""
        raise NotImplementedError

    def enqueue(self, url: str, clients: int, seconds: float) -> dict[str, Any]:
        """Enqueue one a transaction from so many clients, for so long; returns `jobs` and `seconds`.

        Each client is a process: the interpreter's lock would make one of them all.
        """
        context = multiprocessing.get_context("fork")
        barrier = context.Barrier(clients)
        with context.Pool(clients, _meet, [barrier]) as pool:
            done = pool.starmap(_enqueue_alone, [(self, url, seconds)] * clients, chunksize=1)
            pool.close()
            pool.join()
        began, ended = min(one[1] for one in done), max(one[2] for one in done)
        return {"jobs": sum(one[0] for one in done), "seconds": ended - began}

    def bulk(self, url: str, count: int, *, keyed: bool) -> None:
        """Enqueue many, as fast as the system can. Raises `Absent` for keys where it has none."""
        raise NotImplementedError

    def work(self, url: str, shift: Shift) -> str:
        """Work as the shift wants it; returns the settings in words."""
        raise NotImplementedError

    def jobs_deleted(self) -> str:
        """Return SQL for how many jobs have left the queue, which no dead row makes slower; at most a second late."""
        raise NotImplementedError


_barrier: Barrier


def _meet(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 - how a pool's process is given what cannot be sent to it
    _barrier = barrier


def _enqueue_alone(driver: Driver, url: str, seconds: float) -> tuple[int, float, float]:
    return asyncio.run(_enqueue_until(driver, url, seconds))


async def _enqueue_until(driver: Driver, url: str, seconds: float) -> tuple[int, float, float]:
    async with driver.sender(url) as send:
        _barrier.wait()
        began = time.monotonic()
        jobs = 0
        while time.monotonic() - began < seconds:
            await send((jobs,))
            jobs += 1
        return jobs, began, time.monotonic()
