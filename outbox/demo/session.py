"""One SMTP session of the demo's mail server (RFC 5321), in which each address is treated as its fate says."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from outbox.demo.fates import Fate, chance, fate

if TYPE_CHECKING:
    from outbox.demo.ledger import LedgerWriter

_SIZE_LIMIT = 65_536
_EXTENSIONS = ("mail.example.org", f"SIZE {_SIZE_LIMIT}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_PATIENCE = 60.0  # seconds that a client may be silent
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([^@>\s]+)@", re.IGNORECASE | re.MULTILINE)
_FROM = re.compile(r"FROM:\s*<([^<>]*)>", re.IGNORECASE)
_TO = re.compile(r"TO:\s*<([^<>]+)>", re.IGNORECASE)


class HungUp(Exception):
    """The session is over, by the client's wish or by ours."""


@dataclass
class House:
    """What all sessions share: the record, the seed, and how often an address was tried that fails at first."""

    ledger: LedgerWriter
    seed: int
    tries: Counter[str] = field(default_factory=Counter)


class Session:
    """One connection: a transaction after another, with one recipient each."""

    def __init__(self, house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._house = house
        self._reader = reader
        self._writer = writer
        self._sender: str | None = None
        self._recipient: str | None = None

    async def run(self) -> None:
        """Serve until somebody hangs up.

        Raises:
            HungUp: the client said goodbye, or its fate is to be hung up on.
            OSError: the client is gone, or silent for a minute (TimeoutError).
            EOFError: as above, in the middle of a line.
            asyncio.LimitOverrunError: it sends a line without an end.
        """
        await self._reply("220 mail.example.org ESMTP, for the demo")
        while True:
            verb, _, argument = (await self._line()).decode(errors="replace").partition(" ")
            await self._obey(verb.upper(), argument)

    async def _obey(self, verb: str, argument: str) -> None:
        match verb:
            case "EHLO":
                self._forget()
                await self._reply(*_EXTENSIONS)
            case "HELO" | "RSET":
                self._forget()
                await self._reply("250 2.0.0 very well")
            case "NOOP":
                await self._reply("250 2.0.0 very well")
            case "MAIL":
                await self._mail(argument)
            case "RCPT":
                await self._rcpt(argument)
            case "DATA":
                await self._data()
            case "QUIT":
                await self._reply("221 2.0.0 goodbye")
                raise HungUp
            case _:
                await self._reply("500 5.5.2 what is that?")

    async def _mail(self, argument: str) -> None:
        path = _FROM.match(argument)
        if path is None:
            await self._reply("501 5.5.4 MAIL FROM:<address>, please")
        elif self._sender is not None:
            await self._reply("503 5.5.1 one transaction at a time")
        else:
            self._sender = path[1]
            await self._reply("250 2.1.0 from you I take it")

    async def _rcpt(self, argument: str) -> None:
        path = _TO.match(argument)
        if path is None:
            await self._reply("501 5.5.4 RCPT TO:<address>, please")
        elif self._sender is None:
            await self._reply("503 5.5.1 MAIL first")
        elif self._recipient is not None:
            await self._reply("452 4.5.3 one recipient a message")
        else:
            await self._judge_recipient(path[1])

    async def _judge_recipient(self, recipient: str) -> None:
        match fate(recipient, self._house.seed):
            case Fate.UNKNOWN:
                await self._refuse(recipient, "550 5.1.1 no such user here")
            case Fate.FULL:
                await self._refuse(recipient, "452 4.2.2 the mailbox is full")
            case Fate.GREYLISTED if self._is_try(recipient, 1):
                await self._refuse(recipient, "451 4.7.1 greylisted, try again in 1 second")
            case _:
                self._recipient = recipient
                await self._reply("250 2.1.5 for them, too")

    async def _data(self) -> None:
        recipient = self._recipient
        if recipient is None:
            await self._reply("503 5.5.1 RCPT first")
            return
        if fate(recipient, self._house.seed) is Fate.CUT_OFF and self._is_try(recipient, 1):
            self._drop(recipient)
        await self._reply("354 go on, and end with a dot")
        content = await self._content()
        self._forget()
        if content is None:
            await self._refuse(recipient, "552 5.3.4 too long")
        else:
            await self._judge_message(recipient, content)

    async def _judge_message(self, recipient: str, content: bytes) -> None:
        """Take the message or not. It takes a while, in which a client may vanish: it has sent the dot all the same."""
        decided, seed = fate(recipient, self._house.seed), self._house.seed
        share = chance(recipient, seed, "pace")
        await asyncio.sleep(0.3 + 0.9 * share if decided is Fate.SLOW else 0.005 + 0.02 * share)
        match decided:
            case Fate.UNWANTED:
                await self._refuse(recipient, "554 5.7.1 we do not want to read that")
            case Fate.BUSY if self._is_try(recipient, 1 if share < 0.5 else 2):  # noqa: PLR2004 - a half
                await self._refuse(recipient, "451 4.3.0 busy, later please")
            case Fate.NOT_TAKEN if self._is_try(recipient, 1):
                self._drop(recipient)
            case Fate.TAKEN if self._is_try(recipient, 1):
                self._house.ledger.record("accepted", recipient, id=_identity(content))
                raise HungUp
            case _:
                identity = _identity(content)
                reply = f"250 2.0.0 Ok: queued as {identity}"
                self._house.ledger.record("accepted", recipient, id=identity, reply=reply)
                await self._reply(reply)

    async def _refuse(self, recipient: str, reply: str) -> None:
        self._house.ledger.record("refused", recipient, reply=reply)
        await self._reply(reply)

    def _drop(self, recipient: str) -> None:
        self._house.ledger.record("dropped", recipient)
        raise HungUp

    def _is_try(self, recipient: str, last: int) -> bool:
        """Count a try that may fail, and tell whether it is one of the first `last` for this address."""
        self._house.tries[recipient] += 1
        return self._house.tries[recipient] <= last

    def _forget(self) -> None:
        self._sender = self._recipient = None

    async def _content(self) -> bytes | None:
        """Return the message up to the final dot, or None if it is too long."""
        lines: list[bytes] = []
        size = 0
        while (line := await self._line()) != b".":
            size += len(line) + 2
            if size <= _SIZE_LIMIT:
                lines.append(line.removeprefix(b"."))
        return b"\r\n".join(lines) if size <= _SIZE_LIMIT else None

    async def _line(self) -> bytes:
        async with asyncio.timeout(_PATIENCE):
            return (await self._reader.readuntil(b"\n")).rstrip(b"\r\n")

    async def _reply(self, *lines: str) -> None:
        if len(lines) > 1:
            lines = (*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        async with asyncio.timeout(_PATIENCE):
            await self._writer.drain()


def _identity(content: bytes) -> str | None:
    found = _MESSAGE_ID.search(content)
    return found[1].decode(errors="replace") if found else None
