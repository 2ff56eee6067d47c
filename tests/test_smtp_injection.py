"""Whatever a notification says, one recipient gets one message, and nobody writes commands or headers but us."""

from __future__ import annotations

import re
from email import message_from_bytes, policy

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outbox.addresses import check_email
from outbox.errors import DeliveryError, Rejected
from outbox.messages import Email
from tests.smtp_client import KEY, SENDER, email, provider
from tests.smtp_server import SmtpServer

INJECTIONS = [
    "\r\nRCPT TO:<evil@example.net>",
    "\nRCPT TO:<evil@example.net>\n",
    "\rRCPT TO:<evil@example.net>\r",
    ">\r\nRCPT TO:<evil@example.net",
    ">\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n.\r\nMAIL FROM:<evil@example.net",
    "\r\n.\r\nMAIL FROM:<evil@example.net>\r\n",
    "\r\nBcc: evil@example.net",
    "\nBcc: evil@example.net",
    "\rBcc: evil@example.net",
    "\r\n Bcc: evil@example.net",
    "\r\n\r\n<h1>another body</h1>",
    "\x00",
    "\x00evil@example.net",
    "\x0bBcc: evil@example.net",
    "\x0cBcc: evil@example.net",
    "\x1b]0;evil\x07",
    "\x85Bcc: evil@example.net",
    "\u2028Bcc: evil@example.net",
    "\u2029Bcc: evil@example.net",
    "\ud800",
    "\udc0d\udc0aBcc: evil@example.net",
]
ADDRESS_INJECTIONS = [
    *INJECTIONS,
    "> NOTIFY=SUCCESS ORCPT=rfc822;evil@example.net",
    " NOTIFY=SUCCESS",
    "> SIZE=1",
    "\t",
    ",evil@example.net",
    ";evil@example.net",
    "@evil.example.net",
    "><evil@example.net",
    "(evil@example.net)",
    "\u200b",
    "\u202eten.elpmaxe@live",
    "\ufeff",
    "\uff20evil.example.net",
    "\u3002evil.example.net",
]
HOSTILE_ADDRESSES = [
    *(f"ada@example.com{injection}" for injection in ADDRESS_INJECTIONS),
    *(f"ada{injection}@example.com" for injection in ADDRESS_INJECTIONS),
    *(f"{injection}ada@example.com" for injection in ADDRESS_INJECTIONS if injection != "\t"),
    '"ada\\"@example.com',
    '"ada> <evil@example.net"@example.com',
    "ada@[127.0.0.1]",
    "@relay.example:ada@example.com",
    "=?utf-8?q?evil=40example.net?=@example.com",
    "",
]


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES, ids=ascii)
async def test_a_hostile_recipient_never_reaches_the_wire(address: str) -> None:
    async with SmtpServer() as server, provider(server.port) as smtp:
        with pytest.raises(Rejected, match="recipient"):
            await smtp.send(email(address), KEY)
    assert server.connections == 0


@pytest.mark.parametrize("injection", INJECTIONS, ids=ascii)
@pytest.mark.parametrize("field", ["Subject", "Reply-To", "List-Unsubscribe", "X-Campaign", "a header's name"])
async def test_a_hostile_header_is_refused(field: str, injection: str) -> None:
    hostile = f"before{injection}after"
    message = {
        "Subject": email(subject=hostile),
        "Reply-To": email(headers={"Reply-To": f"{hostile} <grace@example.com>"}),
        "List-Unsubscribe": email(headers={"List-Unsubscribe": f"<https://example.org/{hostile}>"}),
        "X-Campaign": email(headers={"X-Campaign": hostile}),
        "a header's name": email(headers={f"X-{hostile}": "value"}),
    }[field]
    async with SmtpServer() as server, provider(server.port) as smtp:
        with pytest.raises(Rejected) as raised:
            await smtp.send(message, KEY)
    assert server.connections == 0
    assert ("Bcc" in str(raised.value)) is (
        field == "a header's name" and "Bcc" in injection
    )  # only names are repeated
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("injection", INJECTIONS[:-2], ids=ascii)
async def test_a_hostile_body_is_only_a_body(injection: str) -> None:
    hostile = f"before{injection}after\r\n.\r\nQUIT\r\n"
    async with SmtpServer() as server, provider(server.port) as smtp:
        await smtp.send(email(text=hostile, html=hostile), KEY)
        await smtp.send(email(text=hostile, html=None), KEY)
    for received in server.accepted:
        message = message_from_bytes(received.content, policy=policy.default)
        assert message["bcc"] is None
        for part in [message] if not message.is_multipart() else message.iter_parts():
            assert _lines(part.get_content()) == _lines(hostile)
    assert [line.split()[0] for line in server.commands] == [b"EHLO", *[b"MAIL", b"RCPT", b"DATA"] * 2, b"QUIT"]


@pytest.mark.parametrize(
    ("recipient", "on_the_wire"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.O'Brien+news@mail.example.com", "Ada.O'Brien+news@mail.example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@faß.example", "ada@xn--fa-hia.example"),
        ("ada@例子.公司", "ada@xn--fsqu00a.xn--55qx5d"),
        ("ada@डाटा.भारत", "ada@xn--c2bd1gb.xn--h2brj9c"),
        ("ada@büro.localhost", "ada@xn--bro-hoa.localhost"),
        ("用户@例子.公司", "用户@xn--fsqu00a.xn--55qx5d"),
        ("e\u0301va@example.com", "éva@example.com"),
    ],
)
async def test_the_wire_has_the_one_recipient_that_was_checked(recipient: str, on_the_wire: str) -> None:
    async with SmtpServer() as server, provider(server.port) as smtp:
        await smtp.send(email(recipient), KEY)
    utf8 = "" if on_the_wire.isascii() else " SMTPUTF8"
    assert server.said("RCPT") == [f"RCPT TO:<{on_the_wire}>"]
    assert re.fullmatch(rf"MAIL FROM:<hello@example\.org> SIZE=\d+{utf8}", server.said("MAIL")[0])
    message = message_from_bytes(server.accepted[0].content, policy=policy.default)
    assert message.get_all("to") == [on_the_wire]


async def test_a_recipient_that_needs_smtputf8_is_rejected_where_there_is_none() -> None:
    async with SmtpServer(extensions=("8BITMIME",)) as server, provider(server.port) as smtp:
        with pytest.raises(Rejected, match="SMTPUTF8"):
            await smtp.send(email("用户@例子.公司"), KEY)
        await smtp.send(email("ada@例子.公司"), KEY)
        assert server.connections == 1
    assert server.said("MAIL") == ["MAIL FROM:<hello@example.org>"]


@pytest.mark.parametrize("letter", ["a", "é", "漢", "😀", "\u202e", "a b"])
async def test_a_subject_of_ten_thousand_characters_arrives(letter: str) -> None:
    subject = (letter * 10_000)[:10_000].strip()
    async with SmtpServer() as server, provider(server.port) as smtp:
        await smtp.send(email(subject=subject), KEY)
    content = server.accepted[0].content
    assert all(len(line) <= 78 for line in content.split(b"\r\n"))
    assert message_from_bytes(content, policy=policy.default)["subject"] == subject


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("ada@example.com", "a", "b")
@given(
    st.one_of(st.emails(), st.text(max_size=40), st.sampled_from(HOSTILE_ADDRESSES)),
    st.text(max_size=200),
    st.text(max_size=500),
)
async def test_nothing_a_notification_holds_changes_the_conversation(recipient: str, subject: str, body: str) -> None:
    async with SmtpServer() as server, provider(server.port) as smtp:
        try:
            await smtp.send(Email(recipient, subject, body, body, {"X-Subject": subject}), KEY)
        except DeliveryError as error:
            assert isinstance(error, Rejected)  # noqa: PT017 - the other branch is the test
            assert server.connections == 0
            return
    check_email(recipient)
    assert [line.split()[0] for line in server.commands] == [b"EHLO", b"MAIL", b"RCPT", b"DATA", b"QUIT"]
    names = [name for name, _ in message_from_bytes(server.accepted[0].content).items()]
    assert names == ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "X-Subject", "Content-Type"]
    assert SENDER in server.accepted[0].content.decode(errors="replace")


def _lines(text: str) -> str:
    return re.sub(r"\r\n|\r", "\n", text).rstrip("\n")
