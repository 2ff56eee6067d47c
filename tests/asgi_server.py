"""A small ASGI server on loopback: HTTP/1.1 as h11 has it, one request a connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import h11

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from outbox.unsubscribe import App


class AsgiServer:
    """Use it as an asynchronous context manager; it serves `app` at `url`, as mounted at `root`."""

    def __init__(self, app: App | Callable[..., Awaitable[None]], root: str = "/unsubscribe") -> None:
        self._app = app
        self._root = root
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[tuple[str, dict[str, str]]] = []
        """Methods and headers of all requests."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{self._root}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._speak(reader, writer)
        except asyncio.CancelledError:  # a browser keeps connections open ahead of need
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = h11.Connection(h11.SERVER)

        async def event() -> Any:
            while (found := wire.next_event()) is h11.NEED_DATA:
                wire.receive_data(await reader.read(65_536))
            return found

        request = await event()
        if not isinstance(request, h11.Request):
            return
        path = request.target.decode().partition("?")[0]
        headers = [(name.lower(), value) for name, value in request.headers]
        self.requests.append((request.method.decode(), {name.decode(): value.decode() for name, value in headers}))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": request.method.decode(),
            "path": path,
            "raw_path": request.target,
            "root_path": self._root,
            "headers": headers,
        }

        async def receive() -> dict[str, Any]:
            match await event():
                case h11.Data(data=data):
                    return {"type": "http.request", "body": bytes(data), "more_body": True}
                case h11.EndOfMessage():
                    return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                fields = [*message["headers"], (b"connection", b"close")]
                said: Any = wire.send(h11.Response(status_code=message["status"], headers=fields))
            else:
                said = wire.send(h11.Data(data=message["body"])) + wire.send(h11.EndOfMessage())
            writer.write(said)
            await writer.drain()

        await self._app(scope, receive, send)
