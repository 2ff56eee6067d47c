"""A TCP proxy before a server that makes trouble on purpose: delays, silence, and cuts at chosen bytes."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    Direction = Literal["up", "down"]

_CHUNK = 65_536
_PURPOSE = re.compile(rb"application_name\0([^\0]*)\0")


@dataclass(eq=False)
class Link:
    """One connection through the proxy. `purpose` is the application name that a PostgreSQL client gave, if any."""

    up: asyncio.StreamWriter
    down: asyncio.StreamWriter
    purpose: str = ""
    frozen: bool = False
    requests: int = 0
    """Chunks that the client sent, the start-up packet included."""
    passed: int = 0
    """Bytes that went up."""
    trap: Trap | None = None
    """What waits for the answer to what was just sent, to swallow it and to cut the connection."""
    tail: bytes = b""
    thawed: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        """End both sides at once, as a reset does."""
        self.up.transport.abort()
        self.down.transport.abort()


@dataclass(eq=False)
class Trap:
    """Cuts a connection at a request. See `Proxy.trap`."""

    pattern: bytes
    purpose: str
    times: int
    mode: Literal["before", "after", "rows"]
    chance: Callable[[], bool]
    sprung: int = 0

    def awaits(self, link: Link, data: bytes) -> bool:
        """Tell whether this is a request to cut at."""
        if self.sprung >= self.times or self.purpose not in link.purpose or link.requests == 1:
            return False
        return self.pattern in link.tail + data and self.chance()

    def spring(self, answer: bytes = b"") -> None:
        """Cut, unless this answer is one that may pass."""
        if self.sprung < self.times and (self.mode != "rows" or has_rows(answer)):
            self.sprung += 1
            raise ConnectionResetError


class Proxy:
    """Use it as an asynchronous context manager, or as `stage.proxy(url)`; it listens on `port` of 127.0.0.1.

    `upstream` is where a server listens: a socket's path, or (host, port); it may be changed meanwhile. Its methods and
    attributes belong to its event loop: from elsewhere, use `Background.call`.
    """

    def __init__(self, upstream: str | tuple[str, int]) -> None:
        self.upstream = upstream
        self.port = 0
        self.delay = 0.0
        self.black_holes: set[Direction] = set()
        """Directions in which every byte is taken and none is passed on."""
        self.links: list[Link] = []
        self.refusing = False
        self.limit: int | None = None
        """Bytes after which a connection is cut, on their way up."""
        self._traps: list[Trap] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def trap(
        self,
        pattern: bytes = b"",
        *,
        purpose: str = "",
        times: int = 1,
        mode: Literal["before", "after", "rows"] = "after",
        chance: Callable[[], bool] = lambda: True,
    ) -> Trap:
        """Cut connections, `times` in all, at a request that contains `pattern`, where `chance` says so.

        After: the server does what it was asked, its answer is swallowed, and the client sees its connection die (the
        ambiguous commit). Rows: the same, of answers that have rows. Before: the server never hears of it. `purpose` is
        part of the client's application name.
        """
        trap = Trap(pattern, purpose, times, mode, chance)
        self._traps.append(trap)
        return trap

    def freeze(self, purpose: str = "") -> int:
        """Let the connections of a purpose be half-open from now on: alive for TCP, and silent. Returns how many."""
        frozen = [link for link in self.links if purpose in link.purpose and not link.frozen]
        for link in frozen:
            link.frozen = True
        return len(frozen)

    def thaw(self) -> None:
        """Let what was frozen go on."""
        for link in self.links:
            link.frozen = False
            link.thawed.set()

    def cut(self, purpose: str = "") -> int:
        """Cut the connections of a purpose; returns how many."""
        cut = [link for link in self.links if purpose in link.purpose]
        for link in cut:
            link.cut()
        return len(cut)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.refusing:
                raise ConnectionRefusedError
            if isinstance(self.upstream, str):
                answers, up = await asyncio.open_unix_connection(self.upstream)
            else:
                answers, up = await asyncio.open_connection(*self.upstream)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        link = Link(up, writer)
        self.links.append(link)
        try:
            await asyncio.gather(self._pump(link, reader, "up"), self._pump(link, answers, "down"))
        except (OSError, asyncio.CancelledError):
            link.cut()
        finally:
            link.cut()
            self.links.remove(link)
            self._tasks.discard(task)

    async def _pump(self, link: Link, reader: asyncio.StreamReader, direction: Direction) -> None:
        writer = link.up if direction == "up" else link.down
        while data := await reader.read(_CHUNK):
            if self.delay:
                await asyncio.sleep(self.delay)
            if link.frozen:
                await link.thawed.wait()
            if direction in self.black_holes:
                continue
            if direction == "up":
                data = self._sent(link, data)
            elif link.trap is not None:
                link.trap.spring(data)
                link.trap = None
            writer.write(data)
            await writer.drain()
            if self.limit is not None and link.passed >= self.limit:
                raise ConnectionResetError
        writer.close()
        if direction == "up":
            return
        raise ConnectionResetError  # the server has hung up: so does the client's side

    def _sent(self, link: Link, data: bytes) -> bytes:
        """Look at what the client sent; return what of it goes on."""
        link.requests += 1
        if found := _PURPOSE.search(data) if not link.purpose else None:
            link.purpose = found[1].decode()
        for trap in self._traps:
            if trap.awaits(link, data):
                if trap.mode == "before":
                    trap.spring()
                link.trap = trap
        link.tail = data[-32:]
        if self.limit is not None:
            data = data[: max(self.limit - link.passed, 0)]
        link.passed += len(data)
        return data


def has_rows(answer: bytes) -> bool:
    """Tell whether an answer of PostgreSQL's has a DataRow among its first messages."""
    position = 0
    while position + 5 <= len(answer):
        if answer[position : position + 1] == b"D":
            return True
        position += 1 + int.from_bytes(answer[position + 1 : position + 5], "big")
    return False


def upstream_of(url: str) -> str | tuple[str, int]:
    """Return where the server of a PostgreSQL URL listens, in the form that `Proxy` takes."""
    where = conninfo_to_dict(url)
    host, port = str(where.get("host", "")), int(where.get("port") or 5432)
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host or "127.0.0.1", port)


def url_through(url: str, port: int) -> str:
    """Return the same database's URL by way of a proxy on `port`, in clear, since the proxy reads along."""
    where = conninfo_to_dict(url)
    user, password = where.get("user", "postgres"), where.get("password")
    account = f"{user}:{password}" if password else f"{user}"
    return f"postgresql://{account}@127.0.0.1:{port}/{where['dbname']}?sslmode=disable&gssencmode=disable"
