"""What is cut off by a stop: what certainly has not gone out is told from what may have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from outbox import channels
from outbox.config import ChannelConfig
from outbox.errors import NotSent
from outbox.render import Templates
from outbox.route import Route
from tests.hands import enqueue, rows
from tests.smtp_client import KEY, email, provider
from tests.smtp_server import Hang, SmtpServer
from tests.test_worker import running, states
from tests.waiting import await_until

if TYPE_CHECKING:
    from pathlib import Path

    from outbox.channels.email.smtp import Provider

LONG = "A line of a long message.\n" * 1_000_000  # more than the kernel takes while nobody reads


async def cut_off(smtp: Provider, reached: asyncio.Event, text: str) -> type[BaseException]:
    """Cancel a send when the server has come so far; return what it ends with."""
    sending = asyncio.create_task(smtp.send(email(text=text), KEY))
    await reached.wait()
    while not sending.done():  # Python 3.11's wait_for loses one that comes in the very moment of its end
        sending.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError) as raised:
        await sending
    return type(raised.value)


@pytest.mark.parametrize("moment", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "content", "dot"])
async def test_a_send_that_is_cut_off_is_in_doubt_from_the_final_dot_on(moment: str) -> None:
    reached = asyncio.Event()

    def hang(_: bytes) -> Hang:
        reached.set()
        return Hang()

    async with SmtpServer({moment: hang}) as server, provider(server.port) as smtp:
        ended = await cut_off(smtp, reached, LONG if moment == "content" else "Hello")
    assert ended is (asyncio.CancelledError if moment == "dot" else NotSent)


async def test_a_send_that_is_cut_off_over_a_used_connection_is_in_doubt_from_its_own_dot_on() -> None:
    reached = asyncio.Event()

    def hang(line: bytes) -> Hang | None:
        if b"ada@" not in line:
            return None
        reached.set()
        return Hang()

    async with SmtpServer({"RCPT": hang}) as server, provider(server.port) as smtp:
        await smtp.send(email("grace@example.com"), KEY)
        assert await cut_off(smtp, reached, "Hello") is NotSent


async def test_of_many_that_wait_for_one_connection_a_stop_leaves_in_doubt_the_one_that_has_it(
    database_url: str, tmp_path: Path
) -> None:
    enqueue(database_url, 5)
    async with SmtpServer({"dot": Hang()}) as server, provider(server.port, connections=1) as smtp:
        policy = ChannelConfig(providers=("smtp",), on_ambiguous="stop")
        to = Route(
            channel="email",
            policy=policy,
            compose=lambda one: channels.compose_for("email")(one, Templates(tmp_path)),
            providers={"smtp": smtp},
            listener=lambda _: None,
        )
        async with running(database_url, to, concurrency=5, grace=0.1) as stop:
            await await_until(lambda: server.heard.endswith(b"\r\n.\r\n"))
            stop.set_result("SIGTERM")
    assert states(database_url) == {"dead": 1, "due": 4}
    said = "SELECT attempt, outcome, error_class, error FROM outbox.attempts ORDER BY outcome"
    assert rows(database_url, said) == [
        (0, "ambiguous", "ambiguous", "the worker was stopped while it was being sent"),
        *[(0, "deferred", "temporary", "the worker was stopped before it was sent")] * 4,
    ]
