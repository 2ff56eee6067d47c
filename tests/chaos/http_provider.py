"""A provider for worker processes: posts each notification to an HTTP sink, with its key, and is mischievous if told.

What the recipient is called says what happens to the process that sends to it, as if the provider's code did it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from pydantic import BaseModel

from outbox.errors import Ambiguous, Rejected, Temporary, Throttled
from outbox.messages import Notification, Receipt

_LIMIT = 65_536


class Settings(BaseModel):
    port: int
    took: float = 0.0
    """Seconds that a send takes before anything leaves."""
    timeout: float = 5.0
    memory: int = 0
    """Bytes that the process may have, so that one that eats memory meets its end; 0 for no limit."""


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Provider:
    """Keeps its connections open; an answer that is late, too long or no HTTP is ambiguous."""

    throttles_by_recipient = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: list[Stream] = []
        if settings.memory:
            resource.setrlimit(resource.RLIMIT_AS, (settings.memory, settings.memory))

    async def send(self, message: Notification, key: str) -> Receipt:
        begun = time.monotonic()
        await _mischief(message.recipient)
        if self._settings.took:
            await asyncio.sleep(self._settings.took)
        content = {"to": message.recipient, "template": message.template, "payload": message.payload}
        request = _request(key, begun, json.dumps(content, sort_keys=True).encode())
        stream, fresh = await self._open()
        try:
            async with asyncio.timeout(self._settings.timeout):
                stream[1].write(request)
                answer = await _answer(stream[0])
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
            stream[1].transport.abort()
            words = f"{type(error).__name__} {'' if fresh else 'on a used connection '}after the request went out"
            raise Ambiguous(words) from None
        except asyncio.CancelledError:
            stream[1].transport.abort()
            raise
        self._idle.append(stream)
        return _judged(answer)

    async def aclose(self) -> None:
        for _, writer in self._idle:
            writer.close()

    async def _open(self) -> tuple[Stream, bool]:
        while self._idle:
            stream = self._idle.pop()
            if not stream[0].at_eof() and stream[0].exception() is None:
                return stream, False
            stream[1].close()
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await asyncio.open_connection("127.0.0.1", self._settings.port, limit=_LIMIT), True
        except (OSError, TimeoutError) as error:
            raise Temporary(f"no connection: {type(error).__name__}") from None


async def _mischief(recipient: str) -> None:
    match recipient.partition("@")[0]:
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "memory":
            _eat()
        case "oom":
            try:
                _eat()
            except MemoryError:
                os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does it to who has too much
        case "loop":
            while True:
                pass
        case "block":
            time.sleep(float(recipient.partition("@")[2]))  # noqa: ASYNC251 - that is the point


def _eat() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(1_000_000))


def _request(key: str, begun: float, body: bytes) -> bytes:
    fields = ("Host: sink", f"Idempotency-Key: {key}", f"Worker: {os.getpid()}", f"Begun: {begun}")
    head = "\r\n".join(["POST /send HTTP/1.1", *fields, f"Content-Length: {len(body)}", "", ""])
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    length = int(fields["content-length"])
    body = await reader.readexactly(min(length, _LIMIT))
    if length > _LIMIT:
        raise ValueError("the answer is too long")
    return Answer(int(head[0].split(" ")[1]), fields, body)


def _judged(answer: Answer) -> Receipt:
    code = str(answer.status)
    if answer.status // 100 == 2:
        return Receipt()
    if answer.status == 429:
        raise Throttled("too fast", code=code, retry_after=_seconds(answer.fields.get("retry-after")))
    if answer.status // 100 == 5:
        raise Temporary("not now", code=code)
    raise Rejected("no", code=code)


def _seconds(told: str | None) -> float | None:
    """Return a Retry-After in seconds: RFC 9110 section 10.2.3 has a number or a date, and servers have anything."""
    if told is None:
        return None
    try:
        return float(told)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(told).timestamp() - time.time()
    except ValueError:
        return None
