"""A limit on how long each of many sends may take, with one timer for all: `asyncio.timeout` costs 6 µs a send."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Timeouts:
    """`with timeouts:` raises TimeoutError when its body takes longer than `seconds`; once a task at a time.

    All have the same limit, so the one that began first is the first to run out, and a dict keeps them in that order.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        """Begin the current task's time."""
        self._began[self._task()] = time.monotonic()
        if self._timer is None:
            self._set_timer(self._seconds)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End it; a cancellation of ours becomes a TimeoutError, as in `asyncio.timeout`."""
        task = self._task()
        self._began.pop(task, None)
        if task in self._late:
            self._late.discard(task)
            if task.uncancel() <= 0 and kind is not None and issubclass(kind, asyncio.CancelledError):
                raise TimeoutError from error

    def _task(self) -> asyncio.Task[object]:
        """Return the current task. Before Python 3.12, finding the loop is a system call: it is found once."""
        task = asyncio.current_task(self._loop) if self._loop is not None else None
        if task is None:
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
            task, began = next(iter(self._began.items()))
            if now < began + self._seconds:
                self._set_timer(began + self._seconds - now)
                return
            del self._began[task]
            self._late.add(task)
            task.cancel()
