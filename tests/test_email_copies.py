"""Cc and bcc: further recipients of one message, none of whom decides what becomes of it."""

from __future__ import annotations

import email
import email.policy
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import outbox
from outbox import errors
from outbox.channels.email import compose
from outbox.channels.email.mime import build, moment
from outbox.messages import Email, Notification
from outbox.queue.draft import Draft
from outbox.render import Templates
from tests.email_by_api import sent
from tests.providers.counterpart import KEY
from tests.providers.server import Reply
from tests.smtp_client import provider
from tests.smtp_server import Drop, SmtpServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.smtp_server import Act

PLAIN = ("SIZE 10485760", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8")
EITHER_WAY = pytest.mark.parametrize("offers", [PLAIN, (*PLAIN, "PIPELINING")], ids=["one by one", "together"])
ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org"}
TO = "ada@example.org"
CC, BCC = ("bob@example.org", "cleo@größe.example"), ("dan@example.org",)
CC_ON_THE_WIRE = ["bob@example.org", "cleo@xn--gre-6ka8i.example"]
MESSAGE = Email(TO, "Hi", "Hello", cc=CC, bcc=BCC)


def test_the_payload_names_them() -> None:
    payload = {"subject": "Hi", "text": "Hello", "cc": list(CC), "bcc": list(BCC)}
    assert compose(Notification(UUID(KEY), **ADA, payload=payload), Templates(Path())) == MESSAGE


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({"cc": "bob@example.org"}, r'cc: must be a list of addresses, such as \["name@example.org"\], not str'),
        ({"bcc": {"bob@example.org": 1}}, "bcc: must be a list of addresses, .*, not dict"),
        ({"cc": ["bob@example.org", 7]}, "cc: number 2 must be an address, not int"),
        ({"cc": ["secret"]}, "cc: number 1: an email address looks like name@example.org"),
        ({"cc": ["Bob <bob@example.org>"]}, r"cc: number 1: an email address may not contain U\+0020"),
        ({"bcc": ["bob@example.org>\r\nRCPT TO:<evil@x"]}, r"bcc: number 1: an email address may not contain U\+"),
        ({"cc": ["bob@example.org, evil@example.net"]}, r"cc: number 1: an email address may not contain U\+"),
        ({"cc": ["bob@example.org", "用户@example.org"]}, "cc: number 2: this address has non-ASCII .* before the @"),
        ({"bcc": ["用户@example.org"]}, "bcc: number 1: this address has non-ASCII .* only the recipient's may"),
        ({"cc": [f"a{n}@example.org" for n in range(30)], "bcc": [f"b{n}@x.org" for n in range(20)]}, "this one to 51"),
    ],
)
def test_what_names_nobody_is_refused_when_it_is_enqueued_and_when_it_is_sent(
    payload: dict[str, Any], problem: str
) -> None:
    with pytest.raises(outbox.InvalidNotification, match=problem) as refused:
        Draft.of({**ADA, "payload": payload})
    assert (refused.value.field, "secret" in str(refused.value)) == ("payload", False)
    with pytest.raises(errors.Rejected, match=problem):
        compose(
            Notification(UUID(KEY), **ADA, payload={"subject": "Hi", "text": "Hello", **payload}), Templates(Path())
        )


def test_fifty_in_all_are_taken() -> None:
    Draft.of({**ADA, "payload": {"cc": [f"a{n}@example.org" for n in range(49)]}})


async def test_each_api_is_told_of_them_in_its_own_fields() -> None:
    cc = ", ".join(CC_ON_THE_WIRE)
    postmark = (await sent("postmark", MESSAGE)).json()
    assert (postmark["To"], postmark["Cc"], postmark["Bcc"]) == (TO, cc, "dan@example.org")
    mailgun = (await sent("mailgun", MESSAGE)).form()
    assert (mailgun["to"], mailgun["cc"], mailgun["bcc"]) == (TO, cc, "dan@example.org")
    resend = (await sent("resend", MESSAGE)).json()
    assert (resend["to"], resend["cc"], resend["bcc"]) == (TO, CC_ON_THE_WIRE, ["dan@example.org"])
    assert (await sent("sendgrid", MESSAGE)).json()["personalizations"] == [
        {
            "to": [{"email": TO}],
            "cc": [{"email": address} for address in CC_ON_THE_WIRE],
            "bcc": [{"email": "dan@example.org"}],
        }
    ]


async def test_ses_is_told_of_all_and_its_mime_of_no_bcc() -> None:
    body = (await sent("ses", MESSAGE)).json()
    assert body["Destination"] == {
        "ToAddresses": [TO],
        "CcAddresses": CC_ON_THE_WIRE,
        "BccAddresses": ["dan@example.org"],
    }
    mime = b64decode(body["Content"]["Raw"]["Data"])
    assert email.message_from_bytes(mime, policy=email.policy.default)["cc"] == ", ".join(CC_ON_THE_WIRE)
    assert b"dan" not in mime
    assert b"bcc" not in mime.lower()


@pytest.mark.parametrize("name", ["postmark", "mailgun", "resend", "sendgrid", "ses"])
async def test_who_is_named_twice_gets_it_once(name: str) -> None:
    twice = MESSAGE._replace(cc=("ADA@example.org", "bob@example.org", "Bob@example.org"), bcc=("bob@example.org",))
    assert (await sent(name, twice)).body == (await sent(name, MESSAGE._replace(cc=CC[:1], bcc=()))).body


def test_fifty_are_folded_into_short_lines() -> None:
    many = tuple(f"somebody.number{n}@department.example.org" for n in range(49))
    built = build(MESSAGE._replace(cc=many, bcc=()), sender="a@example.org", message_id="1@x", date=moment(KEY))
    assert all(len(line) <= 76 for line in built.split(b"\r\n"))
    assert email.message_from_bytes(built, policy=email.policy.default)["cc"] == ", ".join(many)


@EITHER_WAY
async def test_smtp_names_all_in_the_envelope_and_no_bcc_in_the_message(offers: tuple[str, ...]) -> None:
    async with SmtpServer(extensions=offers) as server, provider(server.port) as smtp:
        await smtp.send(MESSAGE, KEY)
        await smtp.send(MESSAGE._replace(cc=(), bcc=()), KEY)
    first, second = server.accepted
    assert (first.recipients, second.recipients) == ([TO, *CC_ON_THE_WIRE, "dan@example.org"], [TO])
    assert email.message_from_bytes(first.content, policy=email.policy.default)["cc"] == ", ".join(CC_ON_THE_WIRE)
    assert b"dan" not in first.content
    assert b"bcc" not in first.content.lower()
    assert server.connections == 1


def refusing(**replies: str) -> Mapping[str, Any]:
    """A script that answers these to the RCPT of these people, and lets the server take all others."""

    def answer(line: bytes) -> Act | None:
        return next((reply for name, reply in replies.items() if f"<{name}@".encode() in line), None)

    return {"RCPT": answer}


@EITHER_WAY
@pytest.mark.parametrize("reply", ["550 5.1.1 no such user", "450 4.7.1 greylisted", "452 4.5.3 too many recipients"])
async def test_a_copy_that_is_refused_is_left_out_and_the_message_goes_on(offers: tuple[str, ...], reply: str) -> None:
    async with SmtpServer(refusing(bob=reply), extensions=offers) as server, provider(server.port) as smtp:
        assert (await smtp.send(MESSAGE, KEY)).provider_message_id
        await smtp.send(MESSAGE, KEY)
    assert [message.recipients for message in server.accepted] == [[TO, CC_ON_THE_WIRE[1], "dan@example.org"]] * 2
    assert server.connections == 1


@EITHER_WAY
@pytest.mark.parametrize(
    ("reply", "error"), [("550 5.1.1 no such user", errors.Unreachable), ("450 4.2.1 later", errors.Temporary)]
)
async def test_where_the_recipient_is_refused_nobody_gets_anything(
    offers: tuple[str, ...], reply: str, error: type[errors.DeliveryError]
) -> None:
    async with SmtpServer(refusing(ada=reply), extensions=offers) as server, provider(server.port) as smtp:
        with pytest.raises(error):
            await smtp.send(MESSAGE, KEY)
        assert server.said("DATA") == []
        await smtp.send(MESSAGE._replace(recipient="grace@example.org"), KEY)
    (accepted,) = server.accepted
    assert (accepted.recipients[0], server.connections) == ("grace@example.org", 1)


@EITHER_WAY
@pytest.mark.parametrize("moment", ["DATA", "dot"])
async def test_a_late_refusal_suppresses_nobody_as_it_may_be_about_anybody(
    offers: tuple[str, ...], moment: str
) -> None:
    script = {moment: "550 5.1.1 no such user"}
    async with SmtpServer(script, extensions=offers) as server, provider(server.port) as smtp:
        with pytest.raises(errors.Rejected):
            await smtp.send(MESSAGE, KEY)
        with pytest.raises(errors.Unreachable):
            await smtp.send(MESSAGE._replace(cc=(), bcc=()), KEY)


@EITHER_WAY
@pytest.mark.parametrize("act", ["421 4.7.0 closing", Drop()], ids=str)
async def test_a_loss_at_a_copy_is_temporary_for_nobody_has_got_it(offers: tuple[str, ...], act: Any) -> None:
    async with SmtpServer(refusing(dan=act), extensions=offers) as server, provider(server.port) as smtp:
        with pytest.raises(errors.Temporary):
            await smtp.send(MESSAGE, KEY)
    assert server.said("DATA") == []
    assert server.accepted == []


@pytest.mark.parametrize("extensions", [PLAIN, PLAIN[:3]], ids=["with SMTPUTF8", "without"])
async def test_a_recipient_beyond_ascii_may_be_one_where_a_copy_may_not(extensions: tuple[str, ...]) -> None:
    async with SmtpServer(extensions=extensions) as server, provider(server.port) as smtp:
        with pytest.raises(errors.Rejected, match="bcc: this address has non-ASCII"):
            await smtp.send(MESSAGE._replace(bcc=("用户@example.org",)), KEY)
        assert server.said("MAIL") == []
        if "SMTPUTF8" in extensions:
            await smtp.send(MESSAGE._replace(recipient="用户@example.org"), KEY)
            assert server.said("MAIL")[0].endswith(" SMTPUTF8")


@pytest.mark.parametrize("name", ["postmark", "mailgun", "resend", "sendgrid", "ses"])
async def test_no_api_is_told_of_a_copy_beyond_ascii(name: str) -> None:
    with pytest.raises(errors.Rejected, match="cc: this address has non-ASCII") as refused:
        await sent(name, MESSAGE._replace(cc=("用户@example.org",)))
    assert refused.value.code is None


async def test_a_copy_that_is_not_verified_in_the_sandbox_of_ses_holds_up_nobody_else() -> None:
    said = "Email address is not verified. The following identities failed the check: bob@example.org"
    with pytest.raises(errors.Rejected):
        await sent("ses", MESSAGE, Reply(400, {"__type": "#MessageRejected", "message": said}))
