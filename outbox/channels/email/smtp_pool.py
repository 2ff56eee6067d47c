"""Open SMTP connections, kept for the next message: a new one for each costs ten times what the message does."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from outbox.channels.email.smtp_connection import Acceptance, Connection, Envelope, Stale
from outbox.errors import NotSent, Throttled
from outbox.timeouts import Timeouts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_FAREWELL = 1.0  # seconds to wait for the answers to QUIT


class Line:
    """Lets so many in at once, in the order they came: a semaphore that asks for the loop once.

    Before Python 3.12 finding it is a system call, and the standard library's asks whenever somebody has to wait.
    """

    def __init__(self, size: int, patience: float) -> None:
        self._free = size
        self._patience = patience
        self._limit = Timeouts(patience)
        self._turns: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def wait(self) -> None:
        """Wait for a turn, which ends with `leave`.

        Raises:
            Throttled: it did not come in time.
        """
        if self._free:
            self._free -= 1
            return
        self._loop = self._loop or asyncio.get_running_loop()
        turn = self._loop.create_future()
        self._turns.append(turn)
        try:
            await self._limit.until(turn)
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # it came as we gave up; one that failed ran out of patience, and never came
            if isinstance(error, TimeoutError):
                raise Throttled(f"no connection to the relay became free in {self._patience:g} s") from None
            raise

    def leave(self) -> None:
        """Give the turn to whoever has waited the longest, and has not given up."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Pool:
    """At most `size` connections, the one used last first, so that what a quiet hour does not need is closed.

    A message waits at most `patience` seconds for one. A connection ends after so many `messages`, or after so many
    seconds `idle`. Belongs to the event loop that first used it.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], *, size: int, patience: float, messages: int, idle: float
    ) -> None:
        self._connect = connect
        self._line = Line(size, patience)
        self._message_limit = messages
        self._idle_limit = idle
        self._idle: deque[Connection] = deque()  # the longest idle first
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def deliver(self, envelope: Envelope, deadline: float | None = None) -> Acceptance:
        """Send one message over a free connection, or a new one, waiting in turn; return its acceptance.

        Nothing of it is sent from `deadline` on (`time.monotonic()`), if it has one.

        Raises:
            Throttled: no connection became free in time.
            NotSent: it was cancelled, and the final dot has not left.
            DeliveryError: as `Connection.deliver` and `smtp_opening.opened` do.
        """
        connection = None
        try:
            await self._line.wait()
            try:
                if (connection := self._take()) is not None:
                    try:
                        return await self._use(connection, envelope, deadline)
                    except Stale:  # the server closed it while it was idle: nothing of this message was taken
                        pass
                connection = await self._connect()
                return await self._use(connection, envelope, deadline)
            finally:
                self._line.leave()
        except asyncio.CancelledError:
            if connection is not None and connection.in_doubt:
                raise
            raise NotSent from None

    async def aclose(self) -> None:
        """Take leave of the server on every idle connection; those in use are closed when they come back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        farewells = [connection.quit(_FAREWELL) for connection in self._idle]
        self._idle.clear()
        await asyncio.gather(*farewells)

    async def _use(self, connection: Connection, envelope: Envelope, deadline: float | None) -> Acceptance:
        try:
            if deadline is not None and time.monotonic() >= deadline:
                raise Throttled("it expired while it waited for a connection to the relay")
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
        if self._closed or not connection.usable or connection.handled >= self._message_limit:
            connection.retire()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._idle_limit, self._retire_idle)

    def _retire_idle(self) -> None:
        now = time.monotonic()
        while self._idle and self._idle[0].idle_since + self._idle_limit <= now:
            self._idle.popleft().retire()
        self._timer = None
        if self._idle:
            left = self._idle[0].idle_since + self._idle_limit - now
            self._timer = asyncio.get_running_loop().call_later(left, self._retire_idle)
