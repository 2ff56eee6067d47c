"""What SMTP's replies mean, each from a real server's mouth to the error that the engine acts on."""

from __future__ import annotations

import re

import pytest

from outbox.errors import Ambiguous, DeliveryError, Misconfigured, Rejected, Temporary, Throttled, Unreachable
from tests.smtp_client import KEY, email, provider
from tests.smtp_server import Act, Drop, Hang, Raw, SmtpServer

UNVERIFIED = (  # Exim's, about whom it is from
    "550-Verification failed for <noreply@example.org>\r\n550-Unrouteable address\r\n550 Sender verify failed"
)
REPLIES = [
    # The server is not there for us.
    ("connect", "421 4.3.2 shutting down", Temporary),
    ("connect", "421 4.7.0 too many connections from your address", Throttled),
    ("connect", "554 5.7.1 your address is on a block list", Misconfigured),
    ("EHLO", "550 5.7.1 bad helo", Misconfigured),
    ("EHLO", "421 4.4.2 timeout", Temporary),
    # Our account and our sender.
    ("MAIL", "530 5.7.0 Must issue a STARTTLS command first", Misconfigured),
    ("MAIL", "530 5.7.1 Authentication required", Misconfigured),
    ("MAIL", "538 5.7.11 encryption required", Misconfigured),
    ("MAIL", "550 5.7.1 sender not allowed", Misconfigured),
    ("MAIL", "550 no such sender", Misconfigured),
    ("MAIL", "553 5.1.8 sender domain does not exist", Misconfigured),
    ("MAIL", "501 5.1.7 bad sender address", Misconfigured),
    ("MAIL", "550 5.4.5 Daily user sending quota exceeded", Misconfigured),
    ("RCPT", "553 5.7.1 <hello@example.org>: Sender address rejected: not owned by user ada", Misconfigured),
    ("RCPT", "550 5.1.8 sender's domain not found", Misconfigured),
    ("RCPT", "554 5.7.1 <ada@example.com>: Relay access denied", Misconfigured),
    ("RCPT", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", Misconfigured),
    ("RCPT", "550 5.7.57 client not authenticated", Misconfigured),
    ("RCPT", "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied", Misconfigured),
    ("RCPT", "550 5.7.25 <unknown[192.0.2.1]>: Client host rejected: cannot find your hostname", Misconfigured),
    ("RCPT", "504 5.5.2 <web1>: Helo command rejected: need fully-qualified hostname", Misconfigured),
    ("MAIL", "550 5.7.1 <web1>: Helo command rejected: Host not found", Misconfigured),
    ("RCPT", UNVERIFIED, Misconfigured),
    ("RCPT", "550 Sender verify failed", Misconfigured),
    ("RCPT", "550 Sender verification failed", Misconfigured),
    ("RCPT", "550-Callback setup failed while verifying <noreply@example.org>\r\n550 refused", Misconfigured),
    ("RCPT", "550-Postmaster verification failed while checking <noreply@example.org>\r\n550 no", Misconfigured),
    ("dot", "550 5.7.60 SMTP; Client does not have permissions to send as this sender", Misconfigured),
    ("dot", "554 Message rejected: Email address is not verified.", Misconfigured),
    ("dot", "454 Throttling failure: Daily message quota exceeded.", Misconfigured),
    ("RCPT", "521 5.3.2 host does not accept mail", Misconfigured),
    # The recipient.
    ("RCPT", "550 5.1.1 no such user", Unreachable),
    ("RCPT", "550 5.1.2 no such host", Unreachable),
    ("RCPT", "501 5.1.3 bad recipient syntax", Unreachable),
    ("RCPT", "551 5.1.6 moved, no forwarding address", Unreachable),
    ("RCPT", "550 5.1.10 null MX", Unreachable),
    ("RCPT", "550 5.2.1 mailbox disabled", Unreachable),
    ("RCPT", "556 5.1.10 domain does not accept mail", Unreachable),
    ("RCPT", "556 domain does not accept mail", Unreachable),
    ("RCPT", "550 5.4.4 host not found", Unreachable),
    ("RCPT", "550 5.4.1 Recipient address rejected: Access denied", Unreachable),
    ("RCPT", "550 #5.1.0 Address rejected.", Unreachable),
    ("RCPT", "550 mailbox unavailable", Unreachable),
    ("RCPT", "550 Unrouteable address", Unreachable),
    ("RCPT", "550-Callout verification failed:\r\n550 550 no such user", Unreachable),
    ("RCPT", "550 5.1.1 <ada@example.com>: undeliverable: verification failed for <ada@example.com>", Unreachable),
    ("RCPT", "551 user not local", Unreachable),
    ("RCPT", "553 mailbox name not allowed", Unreachable),
    ("dot", "550 5.1.1 user unknown, found out late", Unreachable),
    # The mailbox is full.
    ("RCPT", "452 4.2.2 mailbox full", Temporary),
    ("RCPT", "552 5.2.2 mailbox full", Temporary),
    ("RCPT", "550 5.2.2 over quota", Temporary),
    ("RCPT", "552 exceeded storage allocation", Temporary),
    ("dot", "552 mailbox is full", Temporary),
    # The content.
    ("MAIL", "552 5.3.4 message size exceeds fixed limit", Rejected),
    ("MAIL", "552 message too big", Rejected),
    ("RCPT", "550 5.7.1 blocked by policy", Rejected),
    ("RCPT", "550 rejected: listed at dnsbl.example.net", Rejected),
    ("RCPT", "571 delivery not authorized", Rejected),
    ("RCPT", "523 5.2.3 message length exceeds limit", Rejected),
    ("DATA", "554 5.5.1 no valid recipients", Rejected),
    ("DATA", "503 5.5.1 bad sequence", Rejected),
    ("dot", "550 message content refused", Rejected),
    ("dot", "550 5.7.1 looks like spam", Rejected),
    ("dot", "550 5.7.26 unauthenticated sender: SPF and DKIM fail", Rejected),
    ("dot", "554 5.6.0 malformed message", Rejected),
    ("dot", "552 5.3.4 message too big", Rejected),
    ("dot", "554 5.3.0 transaction failed", Rejected),
    ("RCPT", "599 5.9.9 nobody has heard of this", Rejected),
    # Not now.
    ("MAIL", "451 4.3.0 queue file write error", Temporary),
    ("MAIL", "452 4.3.1 out of disk space", Temporary),
    ("MAIL", "421 4.7.0 message rate exceeded", Throttled),
    ("MAIL", "451 4.7.1 rate limited, slow down", Throttled),
    ("RCPT", "450 4.2.0 greylisted", Temporary),
    ("RCPT", "450 4.2.1 the user is receiving mail too quickly", Temporary),
    ("RCPT", "451 4.7.1 Greylisting in action, too many tries", Temporary),
    ("RCPT", "452 4.5.3 too many recipients", Temporary),
    ("RCPT", "450 4.1.1 unverified address", Temporary),
    ("RCPT", "451 Could not complete sender verify", Temporary),
    ("RCPT", "450 4.7.1 <web1>: Helo command rejected: Host not found", Temporary),
    ("RCPT", "499 4.9.9 nobody has heard of this", Temporary),
    ("dot", "451 4.4.1 no answer from host", Temporary),
    ("dot", "454 Throttling failure: Maximum sending rate exceeded.", Throttled),
    ("dot", "421 4.3.2 shutting down", Temporary),
    # No answer that SMTP has.
    ("MAIL", "354 go ahead", Temporary),
    ("DATA", "250 ok", Temporary),
    ("dot", "354 go ahead", Ambiguous),
    ("MAIL", Raw(b"hello\r\n"), Temporary),
    ("dot", Raw(b"hello\r\n"), Ambiguous),
]


@pytest.mark.parametrize(
    ("moment", "reply", "error"), REPLIES, ids=lambda value: getattr(value, "__name__", str(value))
)
async def test_a_reply_means_what_the_table_says(moment: str, reply: Act, error: type[DeliveryError]) -> None:
    async with SmtpServer({moment: reply}) as server, provider(server.port) as smtp:
        with pytest.raises(DeliveryError) as raised:
            await smtp.send(email(), KEY)
    assert type(raised.value) is error, raised.value
    assert not server.accepted


LOSSES: list[tuple[str, Act, type[DeliveryError]]] = [
    *[(moment, Drop(), Temporary) for moment in ("connect", "EHLO", "MAIL", "RCPT", "DATA")],
    *[(moment, Hang(), Temporary) for moment in ("connect", "EHLO", "MAIL", "RCPT", "DATA")],
    ("dot", Drop(), Ambiguous),
    ("dot", Hang(), Ambiguous),
    ("content", Drop(reading=100), Ambiguous),  # a short message has left whole; the server may have read its dot
]


@pytest.mark.parametrize(("moment", "loss", "error"), LOSSES, ids=str)
async def test_a_loss_is_ambiguous_only_after_the_dot(moment: str, loss: Act, error: type[DeliveryError]) -> None:
    async with (
        SmtpServer({moment: loss}) as server,
        provider(server.port, timeout=0.2, data_timeout=0.2) as smtp,
    ):
        with pytest.raises(DeliveryError) as raised:
            await smtp.send(email(), KEY)
    assert type(raised.value) is error, raised.value


@pytest.mark.parametrize("loss", [Drop(reading=10_000), Hang()])
async def test_a_long_message_that_did_not_leave_whole_was_not_accepted(loss: Act) -> None:
    async with (
        SmtpServer({"content": loss}) as server,
        provider(server.port, timeout=0.5) as smtp,
    ):
        with pytest.raises(Temporary):
            await smtp.send(email(text="A line of a long message.\n" * 1_000_000), KEY)


async def test_a_long_message_arrives_whole() -> None:
    text = "A line of a long message.\n.\n" * 100_000
    async with SmtpServer() as server, provider(server.port) as smtp:
        await smtp.send(email(text=text, html=None), KEY)
    assert server.accepted[0].content.endswith(text.replace("\n", "\r\n").encode())


async def test_a_server_that_is_not_there_is_temporary() -> None:
    async with SmtpServer() as server:
        port = server.port
    async with provider(port) as smtp:
        with pytest.raises(Temporary, match="connecting"):
            await smtp.send(email(), KEY)


async def test_a_host_name_that_does_not_resolve_is_temporary() -> None:
    async with provider(25, host="no-such-host.invalid") as smtp:
        with pytest.raises(Temporary):
            await smtp.send(email(), KEY)


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        ("450 4.2.0 greylisted, try again in 300 seconds", 300),
        ("451 4.7.1 Greylisting in action, please come back in 00:14:59", 899),
        ("450 Greylisted for 5 minutes", 300),
        ("421 4.7.0 rate exceeded, retry after 1 hour", 3600),
        ("450 4.2.0 greylisted, wait 90s", 90),
        ("450 4.2.0 greylisted, try again later", None),
        ("450 4.2.0 see RFC 6647 for details", None),
    ],
)
async def test_a_server_that_says_when_to_come_back_is_believed(reply: str, seconds: float | None) -> None:
    async with SmtpServer({"RCPT": reply}) as server, provider(server.port) as smtp:
        with pytest.raises((Temporary, Throttled)) as raised:
            await smtp.send(email(), KEY)
    assert vars(raised.value)["retry_after"] == seconds


async def test_an_error_carries_the_code_and_the_words() -> None:
    async with (
        SmtpServer({"RCPT": "550-5.1.1 no such user\r\n550 5.1.1 here"}) as server,
        provider(server.port) as smtp,
    ):
        with pytest.raises(Unreachable) as raised:
            await smtp.send(email(), KEY)
    assert raised.value.code == "550 5.1.1"
    assert raised.value.detail == "at RCPT: 5.1.1 no such user 5.1.1 here"


@pytest.mark.parametrize(
    ("acceptance", "provider_message_id"),
    [
        ("250 2.0.0 Ok: queued as 4XyZ1b0Jq2z9", "4XyZ1b0Jq2z9"),
        ("250 Ok: queued as A1B2.", "A1B2"),
        ("250 OK id=1rXyZa-0003Qk-2B", "1rXyZa-0003Qk-2B"),
        ("250 2.0.0 3ANHK5xY012345 Message accepted for delivery", "3ANHK5xY012345"),
        ("250 Ok 0100018f2a3b4c5d-6e7f-000000", "0100018f2a3b4c5d-6e7f-000000"),
        ("250 2.0.0 fine, thanks", None),
        ("250 \x1b[31mred\x00", None),
        ("250 Ok, id=12-01, from MTA: 250 Ok: queued as 4XyZ1b0Jq2z9", "4XyZ1b0Jq2z9"),  # a filter has an id too
        ("250 queued as " + "x" * 1000, "x" * 199 + "…"),
        ("250", None),
        ("252 will try", None),
    ],
)
async def test_the_receipt_has_the_relays_own_id(acceptance: str, provider_message_id: str | None) -> None:
    async with SmtpServer({"dot": acceptance}) as server, provider(server.port) as smtp:
        receipt = await smtp.send(email(), KEY)
    assert receipt.provider_message_id == provider_message_id


async def test_every_attempt_sends_the_same_bytes_under_the_same_message_id() -> None:
    async with SmtpServer() as server, provider(server.port) as smtp:
        await smtp.send(email(), KEY)
        await smtp.send(email(), KEY)
    first, second = server.accepted
    assert first == second
    assert f"Message-ID: <{KEY}@example.org>".encode() in first.content
    assert b"Date: Sun, 23 Nov 2025 18:18:22 +0000\r\n" in first.content  # the time in the key, which is a UUIDv7


async def test_the_server_is_told_a_name_that_a_host_can_have() -> None:
    async with SmtpServer() as server, provider(server.port, helo_name=None) as smtp:
        await smtp.send(email(), KEY)
    async with SmtpServer() as other, provider(other.port, helo_name="[192.0.2.1]") as smtp:
        await smtp.send(email(), KEY)
    assert re.fullmatch(r"EHLO [A-Za-z0-9.-]+|EHLO \[127\.0\.0\.1\]", server.said("EHLO")[0])
    assert other.said("EHLO") == ["EHLO [192.0.2.1]"]


async def test_dots_at_the_start_of_a_line_arrive_as_they_were() -> None:
    async with SmtpServer() as server, provider(server.port) as smtp:
        await smtp.send(email(html=None, text=".\n..\n...a\nb\n."), KEY)
    assert server.accepted[0].content.endswith(b"\r\n\r\n.\r\n..\r\n...a\r\nb\r\n.\r\n")
