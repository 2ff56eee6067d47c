"""Open SMTP connections, kept for the next message: a new one for each costs ten times what the message does."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from outbox.channels.email.smtp_connection import Connection, Envelope, Stale

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_FAREWELL = 1.0  # seconds to wait for the answers to QUIT


class Pool:
    """At most `size` connections, the one used last first, so that what a quiet hour does not need is closed.

    `message_limit` and `idle_limit` (seconds) end a connection's life. Belongs to the event loop that first used it.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], *, size: int, message_limit: int, idle_limit: float
    ) -> None:
        self._connect = connect
        self._slots = asyncio.Semaphore(size)
        self._message_limit = message_limit
        self._idle_limit = idle_limit
        self._idle: deque[Connection] = deque()  # the longest idle first
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def deliver(self, envelope: Envelope) -> str:
        """Send one message over a free connection, or a new one, waiting in turn; return the words of acceptance.

        Raises:
            DeliveryError: as `Connection.deliver` and `connect` do.
        """
        async with self._slots:
            if (connection := self._take()) is not None:
                try:
                    return await self._use(connection, envelope)
                except Stale:  # the server closed it while it was idle: nothing of this message was taken
                    pass
            return await self._use(await self._connect(), envelope)

    async def aclose(self) -> None:
        """Take leave of the server on every idle connection; those in use are closed when they come back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        farewells = [connection.quit(_FAREWELL) for connection in self._idle]
        self._idle.clear()
        await asyncio.gather(*farewells)

    async def _use(self, connection: Connection, envelope: Envelope) -> str:
        try:
            return await connection.deliver(envelope)
        finally:
            self._give_back(connection)

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.retire()
        return None

    def _give_back(self, connection: Connection) -> None:
        if self._closed or not connection.usable or connection.sent >= self._message_limit:
            connection.retire()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._idle_limit, self._retire_idle)

    def _retire_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0].idle_since + self._idle_limit <= loop.time():
            self._idle.popleft().retire()
        self._timer = None
        if self._idle:
            self._timer = loop.call_at(self._idle[0].idle_since + self._idle_limit, self._retire_idle)
