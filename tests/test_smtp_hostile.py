"""A server that is broken, or worse: the attempt ends in time, memory stays flat, and what is kept can be printed."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from outbox.errors import Ambiguous, DeliveryError, Temporary
from tests.smtp_client import KEY, email, provider
from tests.smtp_server import Act, Endless, Raw, SmtpServer

MEGABYTE = 1_048_576
FLOODS = [
    Raw(b"250 " + b"x" * 10 * MEGABYTE + b"\r\n"),
    Raw(b"250-" + b"x" * 10 * MEGABYTE),
    Endless(b"250-and another thing\r\n"),
    Endless(b"250-\r\n" * 1_000),
    Endless(b"x" * 4096),
]


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: f"{type(flood).__name__}-{flood.data[:8].decode()}")
@pytest.mark.parametrize("moment", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "dot"])
async def test_a_flood_of_words_is_cut_off(moment: str, flood: Act) -> None:
    tracemalloc.start()
    try:
        async with SmtpServer({moment: flood}) as server, provider(server.port, timeout=2, data_timeout=2) as smtp:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            with pytest.raises(DeliveryError) as raised:
                async with asyncio.timeout(4):
                    await smtp.send(email(), KEY)
            peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert type(raised.value) is (Ambiguous if moment == "dot" else Temporary)
    assert len(raised.value.detail) <= 2048
    assert peak < 15 * MEGABYTE  # of which 10 are the server's own, which writes from this process


async def test_a_reply_that_drips_is_given_up_at_the_timeout() -> None:
    async with (
        SmtpServer({"MAIL": Endless(b"250-wait\r\n", pause=0.05)}) as server,
        provider(server.port, timeout=0.3) as smtp,
    ):
        with pytest.raises(Temporary, match="no answer in time at MAIL"):
            async with asyncio.timeout(2):
                await smtp.send(email(), KEY)


@pytest.mark.parametrize("text", ["\x1b[2J\x1b[31mpwned\x1b]0;title\x07", "nul\x00nul", "\u2028line", "a\ttab"])
async def test_what_a_server_says_is_kept_without_controls(text: str) -> None:
    async with SmtpServer({"RCPT": f"550 5.1.1 {text}"}) as server, provider(server.port) as smtp:
        with pytest.raises(DeliveryError) as raised:
            await smtp.send(email(), KEY)
    assert raised.value.detail.isprintable()
    assert str(raised.value).isprintable()


async def test_what_is_not_utf_8_is_survived() -> None:
    async with (
        SmtpServer({"RCPT": Raw(b"550 5.1.1 \xff\xfe gr\xfc\xdfe\r\n")}) as server,
        provider(server.port) as smtp,
    ):
        with pytest.raises(DeliveryError) as raised:
            await smtp.send(email(), KEY)
    raised.value.detail.encode()
