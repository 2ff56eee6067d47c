"""The same server over HTTP/2: many requests on one connection, each answered when it is complete."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import h2.connection
import h2.events
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from tests.providers.server import BreakOff, GoAway, HangUp, HttpServer, Reply, Request, Reset, Stall

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from tests.providers.server import Act


class Http2Server(HttpServer):
    """Use it as `HttpServer`; it needs TLS, and takes no client that does not ask for h2."""

    def __init__(
        self,
        answer: Callable[[Request], Act],
        *,
        tls: ssl.SSLContext | None = None,
        aside: Callable[[Request], Reply | None] = lambda _: None,
    ) -> None:
        assert tls is not None
        tls.set_alpn_protocols(["h2"])
        super().__init__(answer, tls=tls, aside=aside)
        self.connections = 0

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        self.connections += 1
        async with asyncio.TaskGroup() as streams:
            await _Connection(reader, writer, self._act).converse(streams)


class _Connection:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, act: Callable[[Request], Act]
    ) -> None:
        self._reader, self._writer, self._act = reader, writer, act
        self._protocol = h2.connection.H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._heads: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytearray] = {}
        self._window = asyncio.Event()

    async def converse(self, streams: asyncio.TaskGroup) -> None:
        self._protocol.initiate_connection()
        await self._flush()
        try:
            while data := await self._reader.read(65_536):
                for event in self._protocol.receive_data(data):
                    if (request := self._complete(event)) is not None:
                        streams.create_task(self._answer(*request))
                await self._flush()
        except (ProtocolError, ConnectionError):
            pass
        finally:
            self._window.set()

    def _complete(self, event: h2.events.Event) -> tuple[int, Request] | None:
        """Take in what came; return the stream and the request whose end it is."""
        match event:
            case h2.events.RequestReceived(stream_id=int(stream), headers=headers):
                self._heads[stream] = {str(name): str(value) for name, value in headers or ()}
                self._bodies[stream] = bytearray()
            case h2.events.DataReceived(stream_id=int(stream)):
                self._bodies[stream] += event.data or b""
                self._protocol.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._window.set()
            case h2.events.StreamEnded(stream_id=int(stream)):
                head = self._heads.pop(stream)
                plain = {name: value for name, value in head.items() if not name.startswith(":")}
                return stream, Request(
                    head[":method"],
                    head[":path"],
                    {"host": head[":authority"], **plain},
                    bytes(self._bodies.pop(stream)),
                )
        return None

    async def _answer(self, stream: int, request: Request) -> None:
        try:
            match self._act(request):
                case Reply() as reply:
                    self._begin(stream, reply.status, *reply.headers.items())
                    await self._send(stream, reply.content)
                    self._protocol.end_stream(stream)
                case HangUp(after):
                    self._writer.write(after)
                    self._writer.close()
                case Stall(status, beginning):
                    self._begin(stream, status)
                    await self._send(stream, beginning)
                case BreakOff(status, beginning, after):
                    self._begin(stream, status)
                    await self._send(stream, beginning)
                    self._writer.write(after)
                    self._writer.close()
                case GoAway(last):
                    self._protocol.close_connection(last_stream_id=last)
                    await self._flush()
                    self._writer.close()
                case Reset():
                    self._protocol.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
            await self._flush()
        except (ProtocolError, ConnectionError):  # the client has left
            pass

    def _begin(self, stream: int, status: int, *headers: tuple[str, str]) -> None:
        self._protocol.send_headers(
            stream, [(":status", str(status)), *((name.lower(), value) for name, value in headers)]
        )

    async def _send(self, stream: int, content: bytes) -> None:
        left = memoryview(content)  # slicing 10 MB of bytes over and over takes seconds
        while left and not self._writer.is_closing():
            room = min(self._protocol.local_flow_control_window(stream), self._protocol.max_outbound_frame_size)
            if room > 0:
                self._protocol.send_data(stream, bytes(left[:room]))
                left = left[room:]
                await self._flush()
            else:
                self._window.clear()
                await self._window.wait()
                await asyncio.sleep(0)
        await self._flush()

    async def _flush(self) -> None:
        if (data := self._protocol.data_to_send()) and not self._writer.is_closing():
            self._writer.write(data)
            await self._writer.drain()
