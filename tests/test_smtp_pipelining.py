"""With a server that offers PIPELINING (RFC 2920) the commands of a message go out together, and mean what they did."""

from __future__ import annotations

import pytest

from outbox.errors import DeliveryError, Misconfigured, Rejected, Temporary, Throttled, Unreachable
from tests.smtp_client import KEY, email, provider
from tests.smtp_server import Act, Drop, Hang, Raw, SmtpServer

OFFERS = ("SIZE 10485760", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "SMTPUTF8")


async def test_a_message_arrives_whole_and_the_connection_serves_the_next() -> None:
    async with SmtpServer(extensions=OFFERS) as server, provider(server.port) as smtp:
        for name in ("ada", "grace", "edith"):
            await smtp.send(email(f"{name}@example.com"), KEY)
    assert [message.recipients for message in server.accepted] == [
        ["ada@example.com"],
        ["grace@example.com"],
        ["edith@example.com"],
    ]
    assert server.connections == 1
    assert server.said("RSET") == []


async def test_the_commands_go_out_before_the_first_is_answered() -> None:
    async with SmtpServer({"MAIL": Hang()}, extensions=OFFERS) as server, provider(server.port, timeout=0.3) as smtp:
        with pytest.raises(Temporary, match="no answer in time at MAIL"):
            await smtp.send(email(), KEY)
        assert server.said("MAIL")


async def test_replies_given_before_the_commands_were_read_are_not_believed() -> None:
    early = {"MAIL": Raw(b"250 1\r\n250 2\r\n354 3\r\n")}
    async with (
        SmtpServer(early, extensions=OFFERS) as server,
        provider(server.port, timeout=0.3, data_timeout=0.3) as smtp,
    ):
        with pytest.raises(DeliveryError):
            await smtp.send(email(), KEY)
    assert server.accepted == []


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ({"MAIL": "550 5.7.1 sender denied", "RCPT": "503 5.5.1 need MAIL", "DATA": "503 5.5.1"}, Misconfigured),
        ({"RCPT": "550 5.1.1 no such user", "DATA": "554 5.5.1 no valid recipients"}, Unreachable),
        ({"DATA": "451 4.3.0 later"}, Temporary),
        ({"dot": "554 5.6.0 malformed"}, Rejected),
    ],
)
async def test_the_first_refusal_decides_and_the_connection_goes_on(
    script: dict[str, str], error: type[DeliveryError]
) -> None:
    once = {moment: [reply] for moment, reply in script.items()}
    async with SmtpServer(once, extensions=OFFERS) as server, provider(server.port) as smtp:
        with pytest.raises(error):
            await smtp.send(email(), KEY)
        await smtp.send(email("grace@example.com"), KEY)
    assert [message.recipients for message in server.accepted] == [["grace@example.com"]]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ({"RCPT": "421 4.7.0 rate exceeded, try again in 300 s"}, Throttled),
        ({"MAIL": "421 4.7.0 rate exceeded"}, Throttled),
        ({"RCPT": "550 5.1.1 no such user", "DATA": Drop()}, Unreachable),
    ],
)
async def test_who_hangs_up_after_a_refusal_has_said_why(script: dict[str, Act], error: type[DeliveryError]) -> None:
    async with SmtpServer(script, extensions=OFFERS) as server, provider(server.port) as smtp:
        with pytest.raises(error):
            await smtp.send(email(), KEY)


async def test_a_server_that_takes_data_for_nobody_is_given_an_empty_message() -> None:
    script: dict[str, list[Act]] = {
        "RCPT": ["550 5.1.1 no such user"],
        "DATA": ["354 go ahead"],
        "dot": ["554 5.5.1 no valid recipients"],
    }
    async with SmtpServer(script, extensions=OFFERS) as server, provider(server.port) as smtp:
        with pytest.raises(Unreachable):
            await smtp.send(email(), KEY)
        await smtp.send(email("grace@example.com"), KEY)
    assert [message.recipients for message in server.accepted] == [["grace@example.com"]]
    assert b"Subject" not in bytes(server.heard).split(b"grace@")[0], "nothing of the refused message went out"


@pytest.mark.parametrize("moment", ["MAIL", "RCPT", "DATA"])
async def test_a_loss_before_the_content_is_temporary(moment: str) -> None:
    async with SmtpServer({moment: Drop()}, extensions=OFFERS) as server, provider(server.port) as smtp:
        with pytest.raises(Temporary, match="connection lost"):
            await smtp.send(email(), KEY)
    assert server.accepted == []


async def test_a_reply_too_many_is_noticed_before_the_content_goes_out() -> None:
    script = {"RCPT": Raw(b"250 ok\r\n250 ok\r\n")}
    async with SmtpServer(script, extensions=OFFERS) as server, provider(server.port) as smtp:
        with pytest.raises(Temporary):
            await smtp.send(email(), KEY)
    assert server.accepted == []
