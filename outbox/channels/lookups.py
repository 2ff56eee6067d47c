"""The addresses of hosts whose names strangers chose: a name that never resolves keeps no other from being resolved.

The system's resolver blocks for as long as name servers let it, and cannot be stopped, so that it is asked in threads.
One host has one of them at most: whoever else asks for it meanwhile gets the same answer. The hosts of one domain have
a few, since who has a domain has any number of names in it. Nothing is kept for those who ask later.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from outbox.errors import Temporary

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[[str], list[str]]

AT_ONCE = 64
"""Lookups at a time."""
OF_ONE_DOMAIN = 8
"""Of these, those of one domain, which are the last two labels of a name. Where these are `co.uk`, many share them."""
_PATIENCE = 5.0  # seconds for a place among them, of the time that there is for a connection


def ask_the_system(host: str) -> list[str]:
    """Return the addresses of a host, however long it takes.

    Raises:
        OSError: it has none.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class Lookups:
    """What is being looked up. Making it opens nothing; use it in one event loop, and end with `close`."""

    def __init__(self, ask: Ask = ask_the_system, *, patience: float = _PATIENCE) -> None:
        """`patience` is for how many seconds a host waits for its turn."""
        self._ask = ask
        self._patience = patience
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="outbox-resolve")
        self._places = asyncio.Semaphore(AT_ONCE)
        self._of_domains: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._under_way: dict[str, asyncio.Task[list[str] | None]] = {}

    async def __call__(self, host: str) -> list[str]:
        """Return the addresses of a host.

        Raises:
            OSError: it has none.
            Temporary: its turn did not come.
        """
        lookup = self._under_way.get(host)
        if lookup is None:
            lookup = self._under_way[host] = asyncio.create_task(self._look_up(host))
            lookup.add_done_callback(lambda ended: self._forget(host, ended))
        found = await asyncio.shield(lookup)  # others may wait for it too
        if found is None:
            raise Temporary("no connection: too many other hosts are being resolved, of its domain or in all")
        return found

    def close(self) -> None:
        """Let go of the threads; what is still being resolved is not waited for."""
        for lookup in self._under_way.values():
            lookup.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str) -> list[str] | None:
        domain = ".".join(host.split(".")[-2:])
        of_domain = self._of_domains.setdefault(domain, asyncio.Semaphore(OF_ONE_DOMAIN))
        async with AsyncExitStack() as places:
            try:
                async with asyncio.timeout(self._patience):
                    await places.enter_async_context(of_domain)
                    await places.enter_async_context(self._places)
            except TimeoutError:
                return None
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, host)

    def _forget(self, host: str, ended: asyncio.Task[list[str] | None]) -> None:
        self._under_way.pop(host, None)
        if not ended.cancelled():
            ended.exception()  # nobody may be left who would be told
