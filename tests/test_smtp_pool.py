"""The connections: how many, how long, in what order, and what happens to one that is no longer there."""

from __future__ import annotations

import asyncio

import pytest

from outbox.channels.email.smtp_pool import Line
from outbox.errors import Ambiguous, DeliveryError, Rejected, Temporary, Throttled, Unreachable
from tests.smtp_client import KEY, email, provider
from tests.smtp_server import Act, Drop, Hang, Late, SmtpServer
from tests.waiting import await_until


async def test_many_messages_go_over_few_connections() -> None:
    async with SmtpServer({"MAIL": lambda _: Late(0.001, "250 ok")}) as server:
        async with provider(server.port, connections=3) as smtp:
            await asyncio.gather(*(smtp.send(email(f"u{number}@example.com"), KEY) for number in range(60)))
        assert server.connections == 3
    assert len(server.accepted) == 60
    assert {message.connection for message in server.accepted} == {1, 2, 3}


async def test_messages_one_after_another_use_one_connection() -> None:
    async with SmtpServer() as server, provider(server.port) as smtp:
        for _ in range(5):
            await smtp.send(email(), KEY)
        assert server.connections == 1
        assert not server.said("RSET")


async def test_a_connection_is_replaced_when_it_has_sent_its_share() -> None:
    async with SmtpServer() as server, provider(server.port, message_limit=2) as smtp:
        for _ in range(5):
            await smtp.send(email(), KEY)
        assert [message.connection for message in server.accepted] == [1, 1, 2, 2, 3]
        assert len(server.said("QUIT")) == 2


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    async with SmtpServer() as server, provider(server.port, idle_limit=0.1) as smtp:
        await asyncio.gather(smtp.send(email(), KEY), smtp.send(email(), KEY))
        await await_until(lambda: server.open == 0)
        assert len(server.said("QUIT")) == 2
        await smtp.send(email(), KEY)
        assert server.connections == 3


async def test_what_waits_for_a_connection_is_sent_in_turn() -> None:
    async with SmtpServer() as server, provider(server.port, connections=1) as smtp:
        await asyncio.gather(*(smtp.send(email(f"u{number}@example.com"), KEY) for number in range(20)))
    assert [message.recipients for message in server.accepted] == [[f"u{number}@example.com"] for number in range(20)]


async def test_what_waits_too_long_for_a_connection_is_known_not_to_be_sent() -> None:
    async with (
        SmtpServer({"dot": Hang()}) as server,
        provider(server.port, connections=1, pool_timeout=0.1, data_timeout=1) as smtp,
    ):
        stuck = asyncio.create_task(smtp.send(email(), KEY))
        await await_until(lambda: server.said("DATA"))
        with pytest.raises(Throttled, match="became free"):
            await smtp.send(email("grace@example.com"), KEY)
        with pytest.raises(Ambiguous):
            await stuck
    assert server.said("RCPT") == ["RCPT TO:<ada@example.com>"]


async def test_whoever_waited_too_long_leaves_no_place_behind_that_was_never_theirs() -> None:
    script: dict[str, Act | list[Act]] = {"dot": [Hang()], "MAIL": Late(0.005, "250 ok")}
    async with (
        SmtpServer(script) as server,
        provider(server.port, connections=1, pool_timeout=0.2, data_timeout=1) as smtp,
    ):
        stuck = asyncio.create_task(smtp.send(email(), KEY))
        await await_until(lambda: server.said("DATA"))
        for _ in range(2):
            waited = await asyncio.gather(*(smtp.send(email(), KEY) for _ in range(4)), return_exceptions=True)
            assert [type(each) for each in waited] == [Throttled] * 4
        assert server.connections == 1
        with pytest.raises(Ambiguous):
            await stuck
        await asyncio.gather(*(smtp.send(email(), KEY) for _ in range(6)))
    assert [message.connection for message in server.accepted] == [2] * 6
    assert server.connections == 2


async def test_a_turn_that_comes_as_its_waiter_gives_up_goes_to_the_next() -> None:
    line = Line(1, patience=5.0)
    await line.wait()
    first = asyncio.create_task(line.wait())
    second = asyncio.create_task(line.wait())
    await asyncio.sleep(0)
    line.leave()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 1)


async def test_what_expires_while_it_waits_for_a_connection_is_not_sent() -> None:
    async with (
        SmtpServer({"dot": lambda _: Late(0.2, "250 ok")}) as server,
        provider(server.port, connections=1) as smtp,
    ):
        first = asyncio.create_task(smtp.send(email(), KEY))
        await await_until(lambda: server.said("DATA"))
        with pytest.raises(Throttled, match="it expired while it waited for a connection"):
            await smtp.send(email("grace@example.com", expires_in=0.05), KEY)
        await first
        await smtp.send(email("edsger@example.com", expires_in=5.0), KEY)
    assert server.said("RCPT") == ["RCPT TO:<ada@example.com>", "RCPT TO:<edsger@example.com>"]
    assert server.connections == 1


@pytest.mark.parametrize("ending", [Drop(), "421 4.4.2 idle for too long, closing", Hang()], ids=str)
async def test_a_connection_gone_stale_costs_nothing(ending: Act) -> None:
    async with SmtpServer({"MAIL": ["250 ok", ending]}) as server, provider(server.port, timeout=0.3) as smtp:
        await smtp.send(email(), KEY)
        await smtp.send(email("grace@example.com"), KEY)
    assert [message.connection for message in server.accepted] == [1, 2]


async def test_a_connection_that_has_only_seen_refusals_may_be_stale_too() -> None:
    script: dict[str, list[Act]] = {"RCPT": ["550 5.1.1 no such user"], "MAIL": ["250 ok", Drop()]}
    async with SmtpServer(script) as server, provider(server.port) as smtp:
        with pytest.raises(Unreachable):
            await smtp.send(email(), KEY)
        await smtp.send(email("grace@example.com"), KEY)
    assert [message.connection for message in server.accepted] == [2]


async def test_a_stale_connection_is_replaced_once_and_not_for_ever() -> None:
    async with SmtpServer({"MAIL": ["250 ok", Drop(), Drop(), Drop()]}) as server, provider(server.port) as smtp:
        await smtp.send(email(), KEY)
        with pytest.raises(Temporary, match="connection lost at MAIL"):
            await smtp.send(email(), KEY)
        assert server.connections == 2


async def test_a_server_that_restarted_is_met_on_new_connections() -> None:
    async with SmtpServer() as server, provider(server.port, connections=2) as smtp:
        await asyncio.gather(smtp.send(email(), KEY), smtp.send(email(), KEY))
        server.hang_up()
        await await_until(lambda: server.open == 0)
        await asyncio.gather(smtp.send(email(), KEY), smtp.send(email(), KEY))
        assert (len(server.accepted), server.connections) == (4, 4)


@pytest.mark.parametrize(
    ("moment", "reply", "error"),
    [
        ("MAIL", "451 4.3.0 later", Temporary),
        ("RCPT", "550 5.1.1 no such user", Unreachable),
        ("DATA", "451 4.3.0 later", Temporary),
        ("dot", "554 5.6.0 malformed", Rejected),
    ],
)
async def test_a_connection_is_used_again_after_a_refusal(moment: str, reply: str, error: type[DeliveryError]) -> None:
    async with SmtpServer({moment: [reply]}) as server, provider(server.port) as smtp:
        with pytest.raises(error):
            await smtp.send(email(), KEY)
        await smtp.send(email("grace@example.com"), KEY)
        assert server.connections == 1
    assert [message.recipients for message in server.accepted] == [["grace@example.com"]]


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ({"dot": ["421 4.7.0 message rate exceeded"]}, Throttled),
        ({"dot": [Drop()]}, Ambiguous),
        ({"dot": ["354 what"]}, Ambiguous),
        ({"DATA": ["250 ok"]}, Temporary),
        ({"RCPT": ["550 5.1.1 no"], "RSET": "502 never heard of it"}, Unreachable),
        ({"RCPT": ["550 5.1.1 no"], "RSET": Drop()}, Unreachable),
    ],
)
async def test_a_connection_in_doubt_is_not_used_again(script: dict[str, Act], error: type[DeliveryError]) -> None:
    async with SmtpServer(script) as server, provider(server.port) as smtp:
        with pytest.raises(error):
            await smtp.send(email(), KEY)
        await smtp.send(email(), KEY)
    assert [message.connection for message in server.accepted] == [2]


async def test_a_connection_whose_replies_slipped_is_never_believed() -> None:
    """An extra `250` from the last message is read as the next one's answer: DATA's 354 shows that it does not fit."""
    script = {"dot": ["250 2.0.0 ok\r\n250 2.0.0 ok again"], "RCPT": ["250 ok", "550 5.1.1 no such user"]}
    async with SmtpServer(script) as server, provider(server.port, timeout=0.5) as smtp:
        await smtp.send(email(), KEY)
        with pytest.raises(DeliveryError):
            await smtp.send(email("grace@example.com"), KEY)
    assert len(server.accepted) == 1


async def test_a_cancelled_send_gives_its_place_to_the_next_and_leaves_no_half_message() -> None:
    async with SmtpServer({"RCPT": [Hang()]}) as server, provider(server.port, connections=1) as smtp:
        first = asyncio.create_task(smtp.send(email(), KEY))
        await await_until(lambda: server.said("RCPT"))
        second = asyncio.create_task(smtp.send(email("grace@example.com"), KEY))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
    assert [(message.connection, message.recipients) for message in server.accepted] == [(2, ["grace@example.com"])]


async def test_closing_says_goodbye_on_every_idle_connection() -> None:
    async with SmtpServer() as server:
        async with provider(server.port) as smtp:
            await asyncio.gather(smtp.send(email(), KEY), smtp.send(email(), KEY))
        assert len(server.said("QUIT")) == 2
        await await_until(lambda: server.open == 0)


async def test_closing_does_not_wait_for_ever_for_an_answer() -> None:
    async with SmtpServer({"QUIT": Hang()}) as server, asyncio.timeout(4), provider(server.port) as smtp:
        await smtp.send(email(), KEY)


async def test_a_message_in_flight_when_it_closes_still_arrives() -> None:
    async with SmtpServer({"dot": Late(0.1, "250 ok")}) as server, provider(server.port) as smtp:
        sending = asyncio.create_task(smtp.send(email(), KEY))
        await await_until(lambda: server.said("DATA"))
        await smtp.aclose()
        await sending
        await await_until(lambda: server.open == 0)
