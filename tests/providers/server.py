"""A real HTTP/1.1 server on loopback that does as it is told: answers, stays silent, hangs up, breaks off."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

import h11

from tests.conversations import Conversations

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping


class Request(NamedTuple):
    """What came in; header names are lower-case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))


@dataclass(frozen=True)
class Reply:
    """An answer. A body that is not bytes goes out as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Silence:
    """Read the request, and say nothing for as long as the test lasts."""


@dataclass(frozen=True)
class HangUp:
    """Read the request, say these bytes, and close the connection."""

    after: bytes = b""


@dataclass(frozen=True)
class Stall:
    """Answer with this status and the beginning of a body that never ends."""

    status: int = 200
    beginning: bytes = b'{"'


@dataclass(frozen=True)
class BreakOff:
    """Answer with this status and the beginning of a body, say these bytes, and close the connection."""

    status: int = 200
    beginning: bytes = b'{"half'
    after: bytes = b""


@dataclass(frozen=True)
class GoAway:
    """Take no more requests, and close; those after the stream `last` were not looked at. HTTP/2 only."""

    last: int


@dataclass(frozen=True)
class Reset:
    """Reset the request's stream, and nothing else. HTTP/2 only."""


Act = Reply | Silence | HangUp | Stall | BreakOff | GoAway | Reset


class HttpServer:
    """Use it as an asynchronous context manager. Each request gets the next of `script`, else what `answer` says."""

    def __init__(
        self,
        answer: Callable[[Request], Act],
        *,
        tls: ssl.SSLContext | None = None,
        aside: Callable[[Request], Reply | None] = lambda _: None,
    ) -> None:
        """What `aside` answers uses up nothing of the script, and is not among `requests`."""
        self._answer = answer
        self._aside = aside
        self._tls = tls
        self.script: deque[Act] = deque()
        self.requests: list[Request] = []
        self._conversations = Conversations(self._converse)

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._conversations, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._conversations.end()

    def _act(self, request: Request) -> Act:
        if (reply := self._aside(request)) is not None:
            return reply
        self.requests.append(request)
        return self.script.popleft() if self.script else self._answer(request)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = h11.Connection(h11.SERVER)
        while (request := await _read(protocol, reader)) is not None:
            match self._act(request):
                case Silence():
                    await asyncio.Event().wait()
                case HangUp(after):
                    writer.write(after)
                    await writer.drain()
                    return
                case Stall(status, beginning):
                    writer.write(_half(status, beginning))
                    await asyncio.Event().wait()
                case BreakOff(status, beginning, after):
                    writer.write(_half(status, beginning) + after)
                    await writer.drain()
                    return
                case Reply() as reply:
                    writer.write(_written(protocol, reply))
                    await writer.drain()
            if protocol.our_state is h11.MUST_CLOSE:
                return
            protocol.start_next_cycle()


def _half(status: int, beginning: bytes) -> bytes:
    return f"HTTP/1.1 {status} \r\ncontent-length: 1000\r\n\r\n".encode() + beginning


def _written(protocol: h11.Connection, reply: Reply) -> bytes:
    content = reply.content
    headers = [("content-length", str(len(content))), *reply.headers.items()]
    parts = [
        protocol.send(h11.Response(status_code=reply.status, headers=headers)),
        protocol.send(h11.Data(data=content)),
        protocol.send(h11.EndOfMessage()),
    ]
    return b"".join(part for part in parts if part)


async def _read(protocol: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            headers = {name.decode(): value.decode() for name, value in head.headers}
            return Request(head.method.decode(), head.target.decode(), headers, bytes(body))
        else:  # closed
            return None
