"""silence: tells a connection that will give no answer from a server that takes its time, and cuts the one.

A firewall or a proxy may forget a connection and still acknowledge whatever is sent over it, for ever. How long a
statement takes tells nothing: it may wait for a lock. So the server is asked, over another connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

# Then the server is asked. With the two limits below, whatever has to be cut is cut within 5 s.
PATIENCE = 2.0
_CONNECT_TIMEOUT = 2  # libpq knows none that is shorter
_TIME_TO_SAY = 1.0
_BETWEEN_LOOKS = 0.5
_LONGEST_PAUSE = 30.0
_LONGEST_PATIENCE = 300.0

# Who waits for the client waits for the rest of a statement, or to be rid of an answer: neither may ever arrive.
_LOOK = """
SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Client', state_change FROM pg_stat_activity WHERE pid = %s
"""


class Watch:
    """Waits with whoever uses one connection at a time, and cuts it when its server does nothing and says nothing.

    A verdict may be wrong, or impossible (behind a pooler, on a full server), so each makes the next one come twice as
    late, until a statement succeeds: whatever is slow is done in the end.
    """

    def __init__(self, url: str, patience: float | None = None) -> None:
        self._url = url
        self._least = self._patience = PATIENCE if patience is None else patience
        self.can_ask = False
        """Whether the server knows the connection by the process that it was told of: not so behind a pooler."""

    @contextlib.contextmanager
    def over(self, conn: psycopg.AsyncConnection[Any]) -> Iterator[None]:
        """Watch over what is done on `conn` in this block.

        Raises:
            TimeoutError: there was no answer, and there will be none; the connection is cut.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        watching: list[asyncio.Task[None]] = []
        timer = loop.call_later(self._patience, lambda: watching.append(loop.create_task(self._watch(conn))))
        try:
            yield
        except psycopg.OperationalError:
            if watching and watching[0].done():
                raise TimeoutError(f"no answer for {loop.time() - began:.1f} s") from None
            raise
        finally:
            timer.cancel()
            for task in watching:
                task.cancel()
        self._patience = max(self._least, loop.time() - began)

    async def _watch(self, conn: psycopg.AsyncConnection[Any]) -> None:
        """Return when the connection is cut."""
        loop = asyncio.get_running_loop()
        pause = asked_at = 0.0
        at_work: bool | None = True
        while at_work:
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, self._patience), _LONGEST_PAUSE)
            asked_at = loop.time()
            at_work = await self._is_at_work(conn) if self.can_ask else None
        if at_work is None:
            await asyncio.sleep(asked_at + self._patience - loop.time())
        self._patience = min(2 * self._patience, _LONGEST_PATIENCE)
        if at_work is None:
            # It may be at work all the same, and would claim rows for nobody.
            with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
                async with asyncio.timeout(_TIME_TO_SAY):
                    await conn.cancel_safe(timeout=_TIME_TO_SAY)
        cut(conn)

    async def _is_at_work(self, conn: psycopg.AsyncConnection[Any]) -> bool | None:
        """Ask the server whether it does anything for `conn`; None if it cannot be asked."""
        try:
            info = conn.info
            pid = info.backend_pid
            other = await psycopg.AsyncConnection.connect(
                self._url,
                host=info.host,  # of several that the URL may name, this one
                hostaddr=info.hostaddr,
                port=info.port,
                autocommit=True,
                connect_timeout=_CONNECT_TIMEOUT,
                application_name="outbox look",
            )
        except (psycopg.Error, OSError):
            return None
        limit = asyncio.get_running_loop().call_later(_TIME_TO_SAY, cut, other)
        try:
            first = await _look(other, pid)
            if first is not None and first[0]:
                return True
            await asyncio.sleep(_BETWEEN_LOOKS)  # the answer may be under way, and the next statement about to begin
            second = await _look(other, pid)
            return second is not None and (bool(second[0]) or second != first)
        except psycopg.Error:
            return None
        finally:
            limit.cancel()
            await other.close()


async def _look(conn: psycopg.AsyncConnection[Any], pid: int) -> tuple[Any, ...] | None:
    return await (await conn.execute(_LOOK, [pid])).fetchone()


@contextlib.contextmanager
def limited(conn: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Cut the connection if the block takes longer: a network that fell silent gives no answer at all."""
    limit = threading.Timer(seconds, cut, [conn])
    limit.daemon = True
    limit.start()
    try:
        yield
    finally:
        limit.cancel()


def cut(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Shut the socket down under a statement that hangs: nothing else ends its wait at once, from any thread."""
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.fromfd(conn.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as twin,  # whatever its family really is
    ):
        twin.shutdown(socket.SHUT_RDWR)
