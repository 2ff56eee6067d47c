"""An event loop in a thread of its own, for the servers and proxies of scenarios that are not coroutines."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from typing import Any

T = TypeVar("T")

_LONGEST = 60.0


class Background:
    """Runs as long as its `with` block; what was entered is left at its end, the last first."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos servers", daemon=True)
        self._thread.start()
        self._entered: list[AbstractAsyncContextManager[Any]] = []
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for context in reversed(self._entered):
                self.run(_leave(context))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there; return its result here."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_LONGEST)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function there, where the servers' own state may be touched; return its result here."""

        async def work() -> T:
            return function()

        return self.run(work())

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a function there after so many seconds."""
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, function)

    def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter an asynchronous context manager there, until the end of the block."""
        value = self.run(_enter(context))
        self._entered.append(context)
        return value


async def _enter(context: AbstractAsyncContextManager[T]) -> T:
    return await context.__aenter__()


async def _leave(context: AbstractAsyncContextManager[T]) -> None:
    await context.__aexit__(None, None, None)
