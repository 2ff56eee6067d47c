"""A provider's HTTP service on loopback: knows idempotency keys, writes everything down, and misbehaves as asked."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.ledger import Ledger

_REASONS = {200: "OK", 302: "Found", 409: "Conflict", 422: "Unprocessable Content", 429: "Too Many Requests"}


@dataclass(frozen=True)
class Request:
    """What arrived: `number` counts the requests with this key, from 1. Times are `time.monotonic()`."""

    key: str
    worker: int
    """The process that sent it."""
    body: bytes
    number: int
    at: float
    begun: float
    """When the provider was asked to send it, by its own clock, which is this machine's."""


@dataclass(frozen=True)
class Reply:
    """An answer. `accepts` None: a 2xx accepts the message, and nothing else does."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"{}"
    accepts: bool | None = None

    @property
    def accepted(self) -> bool:
        """Whether the message is in the provider's hands."""
        return 200 <= self.status < 300 if self.accepts is None else self.accepts


@dataclass(frozen=True)
class HangUp:
    """Close without an answer, with the message accepted or not."""

    accepts: bool = False


@dataclass(frozen=True)
class Silence:
    """Never answer."""


@dataclass(frozen=True)
class Slowly:
    """Give this answer after so many seconds, or with so many seconds between its bytes (a slow loris)."""

    reply: Reply = field(default_factory=Reply)
    after: float = 0.0
    between: float = 0.0


Act = Reply | HangUp | Silence | Slowly


def gzip_bomb(size: int = 10_000_000_000) -> Reply:
    """Make a small 500 that unpacks to `size` bytes."""
    block = gzip.compress(bytes(10_000_000), mtime=0)  # members that follow one another are one stream
    headers = (("Content-Encoding", "gzip"),)
    return Reply(500, headers, block * (size // 10_000_000))


def redirect(location: str) -> Reply:
    """Make a redirect to somewhere else."""
    return Reply(302, (("Location", location),))


class HttpSink:
    """Use it as an asynchronous context manager, or as `stage.http_sink()`.

    `behave` gets each request and says what to do, None meaning 200; it may be replaced meanwhile. A key that was
    accepted before is answered 200 again and not delivered twice, or 422 if its body has changed; with
    `idempotent=False` keys mean nothing here, as for a provider that knows none.
    """

    def __init__(self, ledger: Ledger, *, idempotent: bool = True) -> None:
        self.behave: Callable[[Request], Act | None] = lambda _: None
        self.requests: list[Request] = []
        self.repeated = 0
        """Requests with a key that was accepted before."""
        self.changed = 0
        """Of these, the ones whose body was another."""
        self.port = 0
        self._ledger = ledger
        self._idempotent = idempotent
        self._seen: dict[str, int] = {}
        self._accepted: dict[str, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections, and end those that are open."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                request = await self._read(reader)
                await self._perform(self._decide(request), writer)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await reader.readexactly(int(fields["content-length"]))
        key = fields.get("idempotency-key", "")
        number = self._seen[key] = self._seen.get(key, 0) + 1
        worker, begun = int(fields.get("worker", 0)), float(fields.get("begun", 0))
        request = Request(key, worker, body, number, time.monotonic(), begun)
        self.requests.append(request)
        return request

    def _decide(self, request: Request) -> Act:
        digest = hashlib.sha256(request.body).digest()
        before = self._accepted.get(request.key) if self._idempotent else None
        if before is not None:
            self.repeated += 1
            self.changed += before != digest
            return Reply(200 if before == digest else 422)
        act = self.behave(request) or Reply()
        reply = act.reply if isinstance(act, Slowly) else act
        if not isinstance(reply, Silence) and (reply.accepted if isinstance(reply, Reply) else reply.accepts):
            self._accepted[request.key] = digest
            self._ledger.deliver(request.key)
        return act

    async def _perform(self, act: Act, writer: asyncio.StreamWriter) -> None:
        match act:
            case HangUp():
                raise ConnectionResetError
            case Silence():
                await asyncio.Event().wait()
            case Reply():
                writer.write(_wire(act))
            case Slowly(reply, after, between):
                await asyncio.sleep(after)
                for byte in _wire(reply) if between else ():
                    writer.write(bytes([byte]))
                    await asyncio.sleep(between)
                if not between:
                    writer.write(_wire(reply))
        await writer.drain()


def _wire(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Status')}", f"Content-Length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + reply.body
