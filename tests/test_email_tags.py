"""Tags: labels for the provider's statistics, in the fields that each has for them."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import outbox
from outbox import errors
from outbox.channels.email import compose
from outbox.messages import Attachment, Email, Notification
from outbox.queue.draft import Draft
from outbox.render import Templates
from tests.email_by_api import sent
from tests.providers.counterpart import KEY
from tests.smtp_client import provider
from tests.smtp_server import SmtpServer

ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org"}
TAGGED = Email("ada@example.org", "Hi", "Hello", tags=("invoice", "Region_EU-1"))


def test_the_payload_has_them() -> None:
    payload = {"subject": "Hi", "text": "Hello", "tags": ["invoice", "Region_EU-1"]}
    assert compose(Notification(UUID(KEY), **ADA, payload=payload), Templates(Path())) == TAGGED


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ("invoice", r'tags: must be a list of texts, such as \["invoice"\], not str'),
        ([7], "tags: number 1 must be 1 to 128 ASCII letters, digits, hyphens and underscores"),
        (["ok", "not secret"], "tags: number 2 must be 1 to 128 ASCII letters"),
        (["ok\n"], "tags: number 1 must be"),
        (["größe"], "tags: number 1 must be"),
        ([""], "tags: number 1 must be"),
        (["a" * 129], "tags: number 1 must be"),
        (["outbox-id"], "tags: outbox-id is the name of the notification's id"),
        (["a", "A"], "tags: one is given twice"),
        ([str(number) for number in range(11)], "tags: there are at most 10, not 11"),
    ],
)
def test_what_is_none_is_refused_when_it_is_enqueued_and_when_it_is_sent(tags: object, problem: str) -> None:
    with pytest.raises(outbox.InvalidNotification, match=problem) as refused:
        Draft.of({**ADA, "payload": {"tags": tags}})
    assert "secret" not in str(refused.value)
    payload = {"subject": "Hi", "text": "Hello", "tags": tags}
    with pytest.raises(errors.Rejected, match=problem):
        compose(Notification(UUID(KEY), **ADA, payload=payload), Templates(Path()))


async def test_each_api_has_its_own_field_for_them() -> None:
    assert (await sent("postmark", TAGGED)).json()["Tag"] == "invoice"
    assert (await sent("sendgrid", TAGGED)).json()["categories"] == ["invoice", "Region_EU-1"]
    assert (await sent("resend", TAGGED)).json()["tags"] == [
        {"name": "outbox-id", "value": KEY},
        {"name": "invoice", "value": "true"},
        {"name": "Region_EU-1", "value": "true"},
    ]
    assert (await sent("ses", TAGGED)).json()["EmailTags"] == [
        {"Name": "outbox-id", "Value": KEY},
        {"Name": "invoice", "Value": "true"},
        {"Name": "Region_EU-1", "Value": "true"},
    ]


async def test_mailgun_takes_each_as_a_field_with_files_and_without() -> None:
    assert b"o%3Atag=invoice&o%3Atag=Region_EU-1" in (await sent("mailgun", TAGGED)).body
    with_a_file = await sent("mailgun", TAGGED._replace(attachments=(Attachment("a.txt", b"x"),)))
    for tag in TAGGED.tags:
        assert f'form-data; name="o:tag"\r\n\r\n{tag}\r\n'.encode() in with_a_file.body


async def test_the_reader_of_a_mail_by_smtp_does_not_see_them() -> None:
    async with SmtpServer() as server, provider(server.port) as smtp:
        await smtp.send(TAGGED, KEY)
        await smtp.send(TAGGED._replace(tags=()), KEY)
    first, second = (email.message_from_bytes(each.content, policy=email.policy.default) for each in server.accepted)
    assert first.items() == second.items()
