"""A limit on how long each of many sends may take, with one timer for all: `asyncio.timeout` costs 6 µs a send."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

_Result = TypeVar("_Result")


class Timeouts:
    """`await timeouts.within(work)` raises TimeoutError when that takes longer than `seconds`; once a task at a time.

    `await timeouts.until(future)` does so for a future that nobody else waits for, in half the steps; and whoever calls
    `begin` and `end` around what may be late, and asks `is_late` about a cancellation, saves a coroutine. All have the
    same limit, so the one that began first is the first to run out, and a dict keeps them in that order.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: dict[asyncio.Future[Any], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> asyncio.Task[object]:
        """Cancel the current task, which is returned, when the time is over; `end` must follow."""
        task = asyncio.current_task(self._loop) if self._loop is not None else None
        if task is None:
            task = self._first_task()
        self._began[task] = time.monotonic()
        if self._timer is None:
            self._set_timer(self._seconds)
        return task

    def is_late(self, task: asyncio.Task[object]) -> bool:
        """Tell whether a cancellation of the task is ours alone, as `asyncio.timeout` does."""
        return task in self._late and task.cancelling() <= 1

    def end(self, task: asyncio.Task[object]) -> None:
        """Let go of the task, and take a cancellation of ours back."""
        self._began.pop(task, None)
        if task in self._late:
            self._late.discard(task)
            task.uncancel()

    async def within(self, work: Awaitable[_Result]) -> _Result:
        """Return what `work` returns; a cancellation of ours becomes a TimeoutError."""
        task = self.begin()
        try:
            return await work
        except asyncio.CancelledError as error:
            if self.is_late(task):
                raise TimeoutError from error
            raise
        finally:
            self.end(task)

    async def until(self, future: asyncio.Future[_Result]) -> _Result:
        """Return the result of `future`, which fails with the TimeoutError where it has none in time."""
        self._began[future] = time.monotonic()
        if self._timer is None:
            self._set_timer(self._seconds)
        try:
            return await future
        finally:
            self._began.pop(future, None)

    def _first_task(self) -> asyncio.Task[object]:
        """Return the current task. Before Python 3.12, finding the loop is a system call: it is found once."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(self._loop)
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        return task

    def _set_timer(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._began:
            late, began = next(iter(self._began.items()))
            if now < began + self._seconds:
                self._set_timer(began + self._seconds - now)
                return
            del self._began[late]
            if isinstance(late, asyncio.Task):
                self._late.add(late)
                late.cancel()
            elif not late.done():
                late.set_exception(TimeoutError())
