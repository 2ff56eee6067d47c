"""A function as a provider: `def` or `async def`, with a message and a key. A blocking one has threads of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any

from outbox.errors import NotSent
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 64
"""How many messages a blocking provider can be sending at once."""


class Function:
    """A provider whose `send` is a function, which returns a `Receipt`, the provider's id of the message, or None."""

    def __init__(self, function: Callable[[Any, str], Any]) -> None:
        self._function = function
        self._threads: ThreadPoolExecutor | None = None

    async def send(self, message: Any, key: str) -> Receipt:
        """Call the function; what it raises means what it means from any provider."""
        if iscoroutinefunction(self._function):
            returned = self._function(message, key)
        else:
            self._threads = self._threads or ThreadPoolExecutor(THREADS, thread_name_prefix="outbox provider")
            returned = await self._in_a_thread(self._threads, message, key)
        if isawaitable(returned):  # of a coroutine in a decorator, too, which nobody sees from outside
            returned = await returned
        if not isinstance(returned, Receipt | str | None):
            raise TypeError("a provider returns a Receipt, an id, or None")
        return returned if isinstance(returned, Receipt) else Receipt(returned)

    async def _in_a_thread(self, threads: ThreadPoolExecutor, message: Any, key: str) -> Any:
        begun = False

        def call() -> Any:
            nonlocal begun
            begun = True
            return self._function(message, key)

        try:
            return await asyncio.get_running_loop().run_in_executor(threads, call)
        except asyncio.CancelledError:
            if begun:
                raise
            raise NotSent from None

    async def aclose(self) -> None:
        """Let go of the threads. One that is still at work is not waited for."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


class Work(Function):
    """A handler's function. One piece of work that fails says nothing of the next, so nothing is held because of it."""

    fails_by_recipient = True


class Blocking(Function):
    """A provider whose `send` is no coroutine, with the rest of it as it is."""

    def __init__(self, provider: Any) -> None:
        super().__init__(provider.send)
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        """Return what else the provider has, such as its `key_lifetime`."""
        return getattr(self._provider, name)

    async def aclose(self) -> None:
        """Close the provider."""
        await super().aclose()
        closed = self._provider.aclose()
        if closed is not None:
            await closed
