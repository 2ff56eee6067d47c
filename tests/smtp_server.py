"""A real SMTP server on loopback that does as a script says: answers, delays, hangs up, and writes everything down."""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True)
class Drop:
    """Hang up without a word; after `reading` bytes more, if given."""

    reading: int = 0


@dataclass(frozen=True)
class Hang:
    """Say nothing for as long as the test lasts, and read nothing."""


@dataclass(frozen=True)
class Raw:
    """Send these bytes as they are."""

    data: bytes


@dataclass(frozen=True)
class Late:
    """Send this reply after so many seconds."""

    seconds: float
    reply: str


@dataclass(frozen=True)
class Endless:
    """Send this over and over, with a pause of so many seconds, until the client hangs up."""

    data: bytes
    pause: float = 0


Act = str | Drop | Hang | Raw | Late | Endless
Script = Mapping[str, Act | Sequence[Act] | Callable[[bytes], Act | None]]
"""What to do at `connect`, at a command by its name, at `content` (before it is read) and at `dot` (after it was read).

A list is used up, one a time, and then the server is itself again; a callable gets the line and may return None.
"""


@dataclass
class Accepted:
    """A message that the server answered with a 2yz: what it was told, and what it read, without the stuffed dots."""

    sender: str
    recipients: list[str]
    content: bytes
    connection: int


TLS_HANDSHAKE = b"\x16\x03"  # what a client says first that expects TLS: a plain server can only hang up


class _HungUp(Exception):
    pass


@dataclass
class SmtpServer:
    """Use it as an asynchronous context manager; it listens on `port` of 127.0.0.1."""

    script: Script = field(default_factory=dict)
    extensions: tuple[str, ...] = ("SIZE 10485760", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8")
    context: ssl.SSLContext | None = None
    implicit_tls: bool = False
    credentials: tuple[str, str] | None = None
    mechanisms: str = "PLAIN LOGIN"

    port: int = 0
    connections: int = 0
    open: int = 0
    accepted: list[Accepted] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)

    async def __aenter__(self) -> Self:
        self._used: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.context if self.implicit_tls else None
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def act(self, moment: str, line: bytes = b"") -> Act | None:
        """Return what the script wants at this moment, and count it as used."""
        wanted = self.script.get(moment)
        if wanted is None or isinstance(wanted, Act):
            return wanted
        if callable(wanted):
            return wanted(line)
        number = self._used[moment] = self._used.get(moment, 0) + 1
        return wanted[number - 1] if number <= len(wanted) else None

    def said(self, verb: str) -> list[str]:
        """Return the commands that began with `verb`, in order."""
        return [line.decode() for line in self.commands if line.upper().startswith(verb.encode())]

    def hang_up(self) -> None:
        """Close every open connection, as a server that restarts does."""
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await _Session(self, reader, writer, self.connections).run()
        except (_HungUp, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.close()
        except OSError:
            writer.transport.abort()  # after a failed handshake, close() would wait for ever
        except AssertionError:
            writer.transport.abort()  # else the socket outlives the test that failed, and another one is blamed
            raise
        finally:
            self.open -= 1
            self._tasks.discard(task)


class _Session:
    def __init__(
        self, server: SmtpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.server, self.reader, self.writer, self.number = server, reader, writer, number
        self.secure = server.implicit_tls
        self.sender = ""
        self.recipients: list[str] = []

    async def run(self) -> None:
        await self.perform(self.server.act("connect") or "220 sink.test ESMTP")
        while True:
            line = await self.line()
            self.server.commands.append(line)
            verb = line.split(b" ")[0].upper().decode()
            if verb == "DATA":
                await self.data()
            else:
                await self.perform(self.server.act(verb, line) or await self.usual(verb, line))
            if verb == "STARTTLS":
                assert self.server.context is not None
                await self.writer.start_tls(self.server.context)
                self.secure = True
            if verb == "QUIT":
                raise _HungUp

    async def usual(self, verb: str, line: bytes) -> str:
        match verb:
            case "EHLO":
                return self.greeting()
            case "AUTH":
                return await self.authenticated(line)
            case "MAIL":
                self.sender, self.recipients = _path(line), []
                return "250 2.1.0 sender ok"
            case "RCPT":
                self.recipients.append(_path(line))
                return "250 2.1.5 recipient ok"
            case "STARTTLS":
                return "220 2.0.0 ready"
            case "QUIT":
                return "221 2.0.0 bye"
            case "RSET":
                return "250 2.0.0 flushed"
        return "500 5.5.2 what"

    def greeting(self) -> str:
        offers = ["sink.test", *self.server.extensions]
        if self.server.context is not None and not self.secure:
            offers.append("STARTTLS")
        elif self.server.credentials is not None:
            offers.append(f"AUTH {self.server.mechanisms}")
        return "\r\n".join([*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"])

    async def authenticated(self, line: bytes) -> str:
        username, password = self.server.credentials or ("", "")
        match line.decode().split(" "):
            case ["AUTH", "PLAIN", given]:
                right = _decoded(given) == f"\0{username}\0{password}"
            case ["AUTH", "LOGIN", given]:
                right = _decoded(given) == username and _decoded(await self.asked("UGFzc3dvcmQ6")) == password
            case ["AUTH", "CRAM-MD5"]:
                digest = hmac.new(password.encode(), b"<1@sink.test>", "md5").hexdigest()
                challenge = base64.b64encode(b"<1@sink.test>").decode()
                right = _decoded(await self.asked(challenge)) == f"{username} {digest}"
            case _:
                return "504 5.5.4 unknown mechanism"
        return "235 2.7.0 welcome" if right else "535 5.7.8 credentials invalid"

    async def asked(self, challenge: str) -> str:
        await self.perform(f"334 {challenge}")
        return (await self.line()).decode()

    async def data(self) -> None:
        answer = self.server.act("DATA") or "354 go ahead"
        await self.perform(answer)
        if isinstance(answer, str) and not answer.startswith("354"):
            return
        if (wanted := self.server.act("content")) is not None:
            await self.perform(wanted)
        lines = []
        while (line := await self.line()) != b".":
            lines.append(line.removeprefix(b".") + b"\r\n")
        content = b"".join(lines)
        message = Accepted(self.sender, self.recipients, content, self.number)
        reply = self.server.act("dot", content) or f"250 2.0.0 Ok: queued as {len(self.server.accepted):08X}"
        if isinstance(reply, str) and reply.startswith("2"):
            self.server.accepted.append(message)
        await self.perform(reply)

    async def line(self) -> bytes:
        """Return one line without its CRLF, which must be one: a bare CR or LF on the wire fails the test's server."""
        line = await self.reader.readuntil(b"\n")
        self.server.heard += line
        if line.startswith(TLS_HANDSHAKE):
            raise _HungUp
        assert re.fullmatch(rb"[^\r\n]*\r\n", line), f"a bare CR or LF on the wire: {line!r}"
        return line[:-2]

    async def perform(self, act: Act) -> None:
        match act:
            case Drop(reading):
                if reading:
                    await self.reader.readexactly(reading)
                raise _HungUp
            case Hang():
                await asyncio.Event().wait()
            case Endless(data, pause):
                while True:
                    self.writer.write(data)
                    await self.writer.drain()
                    await asyncio.sleep(pause)
            case Raw(data):
                self.writer.write(data)
            case Late(seconds, reply):
                await asyncio.sleep(seconds)
                self.writer.write(reply.encode() + b"\r\n")
            case str():
                self.writer.write(act.encode() + b"\r\n")
        await self.writer.drain()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def _path(line: bytes) -> str:
    match = re.fullmatch(rb"(?:MAIL FROM|RCPT TO):<([^<>]*)>(?: .*)?", line)
    assert match is not None, f"not a path: {line!r}"
    return match[1].decode()
