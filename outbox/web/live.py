"""What changes from second to second: looked at once for all who watch, and not at all while nobody does."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import psycopg

from outbox.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")

EVERY = 2.0
"""Seconds between two looks."""
_MOST = 100


class Live(Generic[T]):
    """Lets many follow what `look` returns; where it cannot, None is what they are told."""

    def __init__(self, look: Callable[[], Awaitable[T]], *, every: float = EVERY) -> None:
        self._look = look
        self._every = every
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._followers = 0
        self._stopped = False
        self._last: tuple[float, T] | None = None

    @property
    def is_full(self) -> bool:
        """Whether more watch than there should be."""
        return self._followers >= _MOST

    async def now(self) -> T:
        """Return what there is to see: what was just seen, or else look."""
        if self._last is not None and time.monotonic() - self._last[0] < self._every:
            return self._last[1]
        return self._seen(await self._look())

    async def follow(self) -> AsyncIterator[T | None]:
        """Yield what is seen, again and again, until `stop`."""
        self._followers += 1
        try:
            while not self._stopped:
                if self._task is None or self._task.done():
                    self._task = asyncio.create_task(self._watch())
                await self._changed.wait()
                if not self._stopped:
                    yield self._last[1] if self._last is not None else None
        finally:
            self._followers -= 1

    def stop(self) -> None:
        """Let all who follow go."""
        self._stopped = True
        self._changed.set()

    async def _watch(self) -> None:
        while self._followers and not self._stopped:
            try:
                self._seen(await self._look())
            except (psycopg.Error, OutboxError, OSError):
                self._last = None
            self._changed.set()
            self._changed = asyncio.Event()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(self._every)

    def _seen(self, what: T) -> T:
        self._last = (time.monotonic(), what)
        return what
