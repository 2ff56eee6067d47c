"""The lines of an SMTP session: commands go out, several at once if need be, and their replies come back in order.

The library that opened the session takes one reply for one command. Together (RFC 2920) the commands of a message need
two waits instead of four, and half the system calls.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from outbox.timeouts import Timeouts

_LONGEST_LINE = 8_192  # octets; RFC 5321 allows 512
_LONGEST_REPLY = 65_536
NO_CODE = -1
_CODE = re.compile(rb"([0-9]{3})(-?)")  # with a hyphen, where more lines follow

Reply: TypeAlias = tuple[int, str]
"""A server's reply: its code, which is `NO_CODE` for words that are no reply of SMTP, and its text."""


class Wire(asyncio.Protocol):
    """Takes over an open transport. `in_step` is False once more was heard than was asked for, or the peer is gone."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._rest = b""  # the beginning of a line
        self._lines: list[str] = []
        self._heard = 0  # octets of the reply that these lines begin
        self._owed = 0
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._lost: OSError | None = None
        self._slipped = False
        self._loop = asyncio.get_running_loop()  # asked for once: before Python 3.12 that is a system call
        transport.set_protocol(self)

    @property
    def in_step(self) -> bool:
        """Whether the next reply will be the one to the next command."""
        return self.is_open and not self._slipped and not self._owed and not self._rest

    @property
    def is_open(self) -> bool:
        """Whether the connection is there, as far as we know."""
        return self._lost is None and not self.transport.is_closing()

    def say(self, data: bytes, *, replies: int = 1) -> None:
        """Write what will be answered by so many replies.

        Raises:
            OSError: the connection is lost.
        """
        if not self.is_open:
            raise self._lost or ConnectionResetError("the connection is closed")
        self._owed += replies
        self.transport.write(data)

    async def reply(self, limit: Timeouts) -> Reply:
        """Return the next reply.

        Raises:
            TimeoutError: there was none within the limit.
            OSError: the connection was lost before.
        """
        if not self._replies:
            if self._lost is not None:
                raise self._lost
            self._waiter = self._loop.create_future()
            await limit.until(self._waiter)
        return self._replies.popleft()

    def data_received(self, data: bytes) -> None:
        """Take what the server says."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._take(line):
                return
        if len(self._rest) > _LONGEST_LINE:
            self._garbled("a line without end")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the peer is gone."""
        self._lose(exc if isinstance(exc, OSError) else ConnectionResetError("Connection lost"))

    def eof_received(self) -> bool:
        """Note that the peer says no more; the transport closes."""
        self._lose(ConnectionResetError("Unexpected EOF received"))
        return False

    def _take(self, line: bytes) -> bool:
        """Take one line; False when nothing after it can be understood."""
        if not self._owed:
            self._slipped = True
            return False
        match = _CODE.match(line) if len(line) <= _LONGEST_LINE else None
        if match is None:
            self._garbled(line[:_LONGEST_LINE].decode(errors="replace"))
            return False
        code, more = match.groups()
        text = line[4:].strip().decode(errors="surrogateescape")
        if not (more or self._lines):
            self._answer((int(code), text))
            return True
        self._lines.append(text)
        self._heard += len(line) + 1
        if self._heard > _LONGEST_REPLY:
            self._garbled("a reply without end")
            return False
        if not more:
            self._answer((int(code), "\n".join(self._lines)))
            self._lines, self._heard = [], 0
        return True

    def _garbled(self, words: str) -> None:
        """Give up on the session: whatever comes next would be taken for an answer to something else."""
        self._slipped = True
        if self._owed:
            self._answer((NO_CODE, f"Malformed SMTP response line: {words}"))
        self.transport.abort()

    def _answer(self, reply: Reply) -> None:
        self._owed -= 1
        self._replies.append(reply)
        if self._waiter is not None:
            self._wake()

    def _lose(self, error: OSError) -> None:
        self._lost = self._lost or error
        self._wake(error)

    def _wake(self, error: OSError | None = None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if error is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(None)
