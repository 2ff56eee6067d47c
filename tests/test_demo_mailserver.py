"""The demo's mail server: a correct one to those who are lucky, and badly behaved just as each fate says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest

from outbox.demo.fates import PERCENT, Fate, fate
from outbox.demo.ledger import LedgerReader, LedgerWriter
from outbox.demo.mailserver import MailServer
from outbox.demo.session import House
from outbox.errors import DeliveryError, Rejected
from tests.smtp_client import KEY, email, provider
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SEED = 1


@dataclass
class Relay:
    """The demo's mail server, on a port, and its record."""

    port: int
    ledger: LedgerReader

    def entries(self, recipient: str) -> list[tuple[str, str | None]]:
        return [(entry.event, entry.reply) for entry in self.ledger.catch_up() if entry.recipient == recipient]

    async def send(self, recipient: str) -> str:
        """Send one mail by the provider that workers use; return its acceptance or the error's class and code."""
        async with provider(self.port) as smtp:
            try:
                return f"accepted: {(await smtp.send(email(recipient), KEY)).provider_message_id}"
            except DeliveryError as error:
                return f"{error.name} {error.code}"


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    path, stop = tmp_path / "ledger", asyncio.Event()
    writer = LedgerWriter(path)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    serving = asyncio.create_task(MailServer(House(writer, SEED)).serve(listening, stop))
    yield Relay(port, LedgerReader(path))
    stop.set()
    await serving
    writer.close()


def somebody(decided: Fate) -> str:
    """An address with this fate."""
    addresses = (f"user{number}@example.org" for number in count())
    return next(address for address in addresses if fate(address, SEED) is decided)


ACCEPTED = f"accepted: {KEY}"
TAKEN = ("accepted", f"250 2.0.0 Ok: queued as {KEY}")


@pytest.mark.parametrize(
    ("decided", "answers", "record"),
    [
        (Fate.ACCEPTED, [ACCEPTED], [TAKEN]),
        (Fate.SLOW, [ACCEPTED], [TAKEN]),
        (
            Fate.GREYLISTED,
            ["temporary 451 4.7.1", ACCEPTED],
            [("refused", "451 4.7.1 greylisted, try again in 1 second"), TAKEN],
        ),
        (Fate.CUT_OFF, ["temporary None", ACCEPTED], [("dropped", None), TAKEN]),
        (Fate.NOT_TAKEN, ["ambiguous None", ACCEPTED], [("dropped", None), TAKEN]),
        (Fate.TAKEN, ["ambiguous None", ACCEPTED], [("accepted", None), TAKEN]),
        (Fate.UNKNOWN, ["unreachable 550 5.1.1"] * 2, [("refused", "550 5.1.1 no such user here")] * 2),
        (Fate.UNWANTED, ["rejected 554 5.7.1"] * 2, [("refused", "554 5.7.1 we do not want to read that")] * 2),
        (Fate.FULL, ["temporary 452 4.2.2"] * 3, [("refused", "452 4.2.2 the mailbox is full")] * 3),
    ],
)
async def test_mail_is_treated_as_its_fate_says(
    relay: Relay, decided: Fate, answers: list[str], record: list[tuple[str, str | None]]
) -> None:
    recipient = somebody(decided)
    assert [await relay.send(recipient) for _ in answers] == answers
    assert relay.entries(recipient) == record


async def test_a_busy_server_takes_it_the_second_or_third_time(relay: Relay) -> None:
    recipient = somebody(Fate.BUSY)
    answers = [await relay.send(recipient) for _ in range(3)]
    assert answers[0] == "temporary 451 4.3.0"
    assert answers[-1] == ACCEPTED
    refusals = [reply for event, reply in relay.entries(recipient) if event == "refused"]
    assert refusals == ["451 4.3.0 busy, later please"] * (3 - answers.count(ACCEPTED))


async def test_a_slow_one_takes_its_time(relay: Relay) -> None:
    began = time.monotonic()
    await relay.send(somebody(Fate.SLOW))
    assert time.monotonic() - began >= 0.3


async def test_what_was_accepted_is_on_record_before_the_client_knows(relay: Relay) -> None:
    """And stays so when the client is gone before the answer, as a killed worker is."""
    recipient = somebody(Fate.SLOW)
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    envelope = f"EHLO me\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
    writer.write(envelope.encode())
    await reader.readuntil(b"354")
    writer.write(f"Message-ID: <{KEY}@example.org>\r\n\r\nHello\r\n.\r\n".encode())
    await writer.drain()
    writer.transport.abort()
    (entry,) = await await_until(relay.ledger.catch_up)
    assert (entry.event, entry.recipient, entry.id) == ("accepted", recipient, KEY)


async def test_it_speaks_the_protocol(relay: Relay) -> None:
    dialogue = [
        ("MAIL TO:<a@example.org>", "501"),
        ("RCPT TO:<a@example.org>", "503"),
        ("DATA", "503"),
        ("HELO me", "250"),
        ("mail from:<a@example.org> SIZE=10", "250"),
        ("MAIL FROM:<a@example.org>", "503"),
        ("RCPT TO:<>", "501"),
        (f"RCPT TO:<{somebody(Fate.ACCEPTED)}>", "250"),
        ("RCPT TO:<other@example.org>", "452"),
        ("RSET", "250"),
        ("DATA", "503"),
        ("NOOP", "250"),
        ("MAIL FROM:<>", "250"),
        (f"RCPT TO:<{somebody(Fate.ACCEPTED)}>", "250"),
        ("DATA", "354"),
        ("Subject: dots\r\n\r\n..\r\n.", "250"),
        ("VRFY a", "500"),
        ("QUIT", "221"),
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    assert (await reader.readline()).startswith(b"220 ")
    for line, code in dialogue:
        writer.write(f"{line}\r\n".encode())
        answer = await reader.readline()
        assert (line, answer[:3].decode()) == (line, code)
    assert await reader.read() == b""
    writer.close()
    assert [entry.id for entry in relay.ledger.catch_up()] == [None], "no Message-ID, no notification"


async def test_a_message_that_is_too_long_is_refused_and_the_next_one_taken(relay: Relay) -> None:
    recipient = somebody(Fate.ACCEPTED)
    async with provider(relay.port) as smtp:
        with pytest.raises(Rejected, match=r"5\.3\.4"):
            await smtp.send(email(recipient, text="long enough\n" * 10_000), KEY)
        await smtp.send(email(recipient), KEY)


async def test_a_line_without_an_end_is_hung_up_on(relay: Relay) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    await reader.readline()
    writer.write(b"x" * 200_000)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.transport.abort()


def test_fates_are_shared_out_as_they_say() -> None:
    fates = [fate(f"user{number}@example.org", 3) for number in range(20_000)]
    for one, percent in PERCENT.items():
        assert fates.count(one) == pytest.approx(percent * 200, rel=0.4)
    assert fates.count(Fate.ACCEPTED) > 15_000


def test_the_ledger_is_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    writer, reader = LedgerWriter(path), LedgerReader(path)
    writer.record("refused", "a@example.org", reply="451 later")
    with path.open("a") as file:
        file.write('{"event": "accep')
    assert [entry.recipient for entry in reader.catch_up()] == ["a@example.org"]
    with path.open("a") as file:
        file.write('ted", "recipient": "b@example.org", "at": 1.5}\n')
    assert [entry.event for entry in reader.catch_up()] == ["refused", "accepted"]
    writer.close()
