"""Who an email is from, and who is answered: what the payload says, or else the configuration."""

from __future__ import annotations

import email
import email.policy
from base64 import b64decode
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import outbox
from outbox import errors
from outbox.channels.email import compose
from outbox.messages import Email, Notification
from outbox.queue.draft import Draft
from outbox.render import Templates
from tests.email_by_api import sent
from tests.providers.counterpart import KEY
from tests.providers.server import Reply, Request
from tests.smtp_client import provider
from tests.smtp_server import SmtpServer

if TYPE_CHECKING:
    from collections.abc import Callable

ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org"}
HELLO = {"subject": "Hi", "text": "Hello"}
BILLING = Email("ada@example.org", "Hi", "Hello", sender='"Bills, Inc." <bills@größe.example>')
ADDRESS = "bills@xn--gre-6ka8i.example"
SHOWN = f'"Bills, Inc." <{ADDRESS}>'


def composed(payload: dict[str, Any], **given: Any) -> Email:
    notification = Notification(UUID(KEY), **{**ADA, "payload": {**HELLO, **payload}, **given})
    return compose(notification, Templates(Path()))


def mime_of(request: Request) -> Any:
    data = b64decode(request.json()["Content"]["Raw"]["Data"])
    return email.message_from_bytes(data, policy=email.policy.default)


def test_the_payload_says_who_it_is_from_and_who_is_answered() -> None:
    message = composed({"from": "Bills <bills@example.org>", "reply_to": "help@example.org"})
    assert message.sender == "Bills <bills@example.org>"
    assert message.headers == {"Reply-To": "help@example.org"}


def test_it_says_so_beside_a_template_too(tmp_path: Path) -> None:
    (tmp_path / "hi").mkdir()
    (tmp_path / "hi" / "subject.txt").write_text("Hi")
    (tmp_path / "hi" / "body.txt").write_text("Hello")
    notification = Notification(UUID(KEY), **ADA, template="hi", payload={"from": "bills@example.org"})
    assert compose(notification, Templates(tmp_path)).sender == "bills@example.org"


WRONG = [
    ({"from": 7}, "from: must be a text, Name <address> or an address, not int"),
    ({"from": "secret"}, "from: an email address looks like name@example.org"),
    ({"from": "A <a@example.org>, b@example.org"}, r"from: an email address may not contain U\+"),
    ({"from": "A\r\nBcc: evil@example.net <a@example.org>"}, "from: the display name has a control character"),
    ({"from": "a@example.org\r\nBcc: evil@example.net"}, r"from: an email address may not contain U\+000D"),
    ({"from": "用户@example.org"}, "from: this address has non-ASCII characters before the @"),
    ({"reply_to": ["help@example.org"]}, "reply_to: must be a text, Name <address> or an address, not list"),
    ({"reply_to": ""}, "reply_to: an email address looks like"),
]


@pytest.mark.parametrize(("payload", "problem"), WRONG)
def test_what_is_no_mailbox_is_refused_when_it_is_enqueued_and_when_it_is_sent(
    payload: dict[str, Any], problem: str
) -> None:
    with pytest.raises(outbox.InvalidNotification, match=problem) as refused:
        Draft.of({**ADA, "payload": payload})
    assert refused.value.field == "payload"
    assert "secret" not in str(refused.value)
    with pytest.raises(errors.Rejected, match=problem):
        composed(payload)


def test_who_is_answered_is_said_once() -> None:
    payload, headers = {"reply_to": "a@example.org"}, {"reply-to": "b@example.org"}
    with pytest.raises(outbox.InvalidNotification, match="the headers have a Reply-To already"):
        Draft.of({**ADA, "payload": payload, "headers": headers})
    with pytest.raises(errors.Rejected, match="the headers have a Reply-To already"):
        composed(payload, headers=headers)


def test_other_channels_call_what_they_like_from() -> None:
    Draft.of({"channel": "sms", "recipient": "+447700900001", "payload": {"from": 7}})


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("postmark", lambda request: request.json()["From"] == SHOWN),
        ("resend", lambda request: request.json()["from"] == SHOWN),
        ("mailgun", lambda request: request.form()["from"] == SHOWN),
        ("sendgrid", lambda request: request.json()["from"] == {"email": ADDRESS, "name": "Bills, Inc."}),
        ("ses", lambda request: mime_of(request)["from"] == SHOWN),
    ],
)
async def test_an_api_is_told_who_it_is_from(name: str, says: Callable[[Request], bool]) -> None:
    request = await sent(name, BILLING)
    assert says(request)
    if name not in {"resend", "ses"}:
        assert f"{KEY}@xn--gre-6ka8i.example".encode() in request.body.replace(b"%40", b"@")
    assert b"shop@example.org" not in request.body.replace(b"%40", b"@")


async def test_smtp_has_it_in_the_envelope_and_in_the_message() -> None:
    async with SmtpServer() as server, provider(server.port) as smtp:
        await smtp.send(BILLING, KEY)
        await smtp.send(BILLING._replace(sender=None), KEY)
    assert [message.sender for message in server.accepted] == [ADDRESS, "hello@example.org"]
    parsed = email.message_from_bytes(server.accepted[0].content, policy=email.policy.default)
    assert (parsed["from"], parsed["message-id"]) == (SHOWN, f"<{KEY}@xn--gre-6ka8i.example>")


REFUSED = [
    ("postmark", Reply(422, {"ErrorCode": 400, "Message": "Sender signature not found"})),
    ("postmark", Reply(422, {"ErrorCode": 300, "Message": "Invalid 'From' address"})),
    ("sendgrid", Reply(403, {"errors": [{"message": "not a verified sender", "field": "from"}]})),
    ("resend", Reply(422, {"name": "invalid_from_address", "message": "Invalid `from` field"})),
    ("resend", Reply(403, {"name": "validation_error", "message": "The x.example domain is not verified."})),
    ("ses", Reply(400, {"__type": "#MessageRejected", "message": f"Email address is not verified: {ADDRESS}"})),
]


@pytest.mark.parametrize(("name", "reply"), REFUSED)
async def test_a_sender_of_its_own_that_is_refused_holds_up_nobody_else(name: str, reply: Reply) -> None:
    with pytest.raises(errors.Rejected) as own:
        await sent(name, BILLING, reply)
    with pytest.raises(errors.Misconfigured) as configured:
        await sent(name, BILLING._replace(sender=None), reply)
    assert own.value.code == configured.value.code


@pytest.mark.parametrize("name", ["postmark", "sendgrid", "resend", "mailgun", "ses"])
async def test_a_wrong_secret_holds_the_provider_whoever_it_is_from(name: str) -> None:
    refused = import_module(f"tests.providers.email_{name}").COUNTERPART.refused
    with pytest.raises(errors.Misconfigured):
        await sent(name, BILLING, refused)


@pytest.mark.parametrize(
    ("moment", "reply"),
    [
        ("MAIL", "550 5.7.1 not yours"),
        ("RCPT", "553 5.7.1 <bills@x>: Sender address rejected: not owned by user shop"),
        ("dot", "550 5.7.60 client does not have permissions to send as this sender"),
    ],
)
async def test_nor_does_one_that_a_relay_refuses(moment: str, reply: str) -> None:
    async with SmtpServer({moment: [reply, reply]}) as server, provider(server.port) as smtp:
        with pytest.raises(errors.Rejected):
            await smtp.send(BILLING, KEY)
        with pytest.raises(errors.Misconfigured):
            await smtp.send(BILLING._replace(sender=None), KEY)


async def test_a_relay_that_wants_a_password_is_misconfigured_whoever_it_is_from() -> None:
    script = {"MAIL": "530 5.7.0 authentication required", "RCPT": "550 relaying denied"}
    async with SmtpServer(script) as server, provider(server.port) as smtp:
        with pytest.raises(errors.Misconfigured):
            await smtp.send(BILLING, KEY)
