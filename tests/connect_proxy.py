"""A proxy that opens tunnels (CONNECT), on a port of this machine, and tells whereto."""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.conversations import Conversations

if TYPE_CHECKING:
    from types import TracebackType


class ConnectProxy:
    """Speaks as much of https://www.rfc-editor.org/rfc/rfc9110#CONNECT as clients ask of a proxy.

    `login`, if given, is the user and password that it wants.
    """

    def __init__(self, login: str | None = None) -> None:
        self.tunnels: list[str] = []
        self.refused = 0
        self._conversations = Conversations(self._pass_on)
        self._wanted = login and "Basic " + base64.b64encode(login.encode()).decode()

    @property
    def authority(self) -> str:
        """Where it listens."""
        return "{}:{}".format(*self._server.sockets[0].getsockname()[:2])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._conversations, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._conversations.end()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split(" ", 2)
            given = next(
                (line.partition(": ")[2] for line in head.splitlines() if "-Authorization:" in line.title()), None
            )
            if method != "CONNECT" or (self._wanted and given != self._wanted):
                self.refused += 1
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            else:
                self.tunnels.append(target)
                host, _, port = target.rpartition(":")
                far_reader, far_writer = await asyncio.open_connection(host, int(port))
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while part := await reader.read(65_536):
                writer.write(part)
                await writer.drain()
    finally:
        with suppress(OSError):
            writer.close()
