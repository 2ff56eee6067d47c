"""Files that go along with an email: read from the payload, and the same on the far side, whoever carries them."""

from __future__ import annotations

import email
import email.policy
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.attachments import read
from outbox.channels import compose_for, load_provider
from outbox.channels.email.attachments import entity
from outbox.channels.email.mime import build
from outbox.errors import InvalidNotification, Rejected
from outbox.messages import Attachment, Email, Notification
from outbox.queue.draft import Draft
from outbox.render import Templates
from tests.providers import email_mailgun, email_postmark, email_resend, email_sendgrid
from tests.providers.counterpart import KEY
from tests.providers.server import HttpServer, Reply, Request

PDF = Attachment("invoice 7.pdf", b"%PDF-1.7\r\n\x00\xff--=_", "application/pdf")
PHOTO = Attachment('Grüße "an" alle.png', bytes(range(256)), "image/png")
MESSAGE = Email("ada@example.org", "Files", "Hello", "<p>Hello</p>", {}, (PDF, PHOTO))


def in_base64(content: bytes) -> str:
    return b64encode(content).decode()


@pytest.mark.parametrize("message", [MESSAGE, MESSAGE._replace(html=None)], ids=["text and html", "text"])
def test_they_are_parts_of_the_message_beside_its_bodies(message: Email) -> None:
    date = datetime(2026, 11, 29, tzinfo=UTC)
    built = build(message, sender="shop@example.org", message_id="1@example.org", date=date)
    assert built == build(message, sender="shop@example.org", message_id="1@example.org", date=date)
    assert all(len(line) <= 998 for line in built.split(b"\r\n"))
    parsed = email.message_from_bytes(built, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/mixed"
    text = parsed.get_body(("plain",))
    assert text is not None
    assert text.get_content().strip() == "Hello"
    found = [(part.get_filename(), part.get_content(), part.get_content_type()) for part in parsed.iter_attachments()]
    assert found == [tuple(PDF), tuple(PHOTO)]


CHARACTERS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/\\")
NOW = datetime(2026, 11, 29, tzinfo=UTC)


@given(
    name=st.text(CHARACTERS, min_size=1, max_size=200).filter(lambda name: name.strip() == name),
    content=st.binary(max_size=300),
    text=st.text(max_size=60),
)
def test_whatever_they_are_called_and_hold_they_arrive_as_they_were(name: str, content: bytes, text: str) -> None:
    ((attachment,), _) = read([{"name": name, "content": in_base64(content), "type": "image/gif"}])
    message = Email("ada@example.org", "Files", text.encode(errors="replace").decode(), None, {}, (attachment,))
    built = build(message, sender="shop@example.org", message_id="1@example.org", date=NOW)
    (found,) = email.message_from_bytes(built, policy=email.policy.default).iter_attachments()
    assert (found.get_filename(), found.get_content()) == (name, content)


LONG = ["文" * 200, "文" * 196 + ".pdf", "%" * 200, "é" * 31, "€'\"*=; " * 24 + "end", "a" * 199 + "é", "😀" * 200]


@pytest.mark.parametrize("name", [*LONG, "ü.pdf", "a" * 200, "a b" * 60])
def test_a_long_name_makes_no_long_line_and_is_read_as_it_was(name: str) -> None:
    ((attachment,), _) = read([{"name": name, "content": in_base64(b"x"), "type": "image/gif"}])
    built = build(MESSAGE._replace(attachments=(attachment,)), sender="a@example.org", message_id="1@a", date=NOW)
    longest = 78 if name in LONG else 998
    assert max(len(line) for line in built.split(b"\r\n")) <= longest
    for policy in (email.policy.default, email.policy.compat32):
        parsed = email.message_from_bytes(built, policy=policy)
        assert [part.get_filename() for part in parsed.walk() if part.get_filename()] == [name]


def test_a_short_name_stays_on_one_line() -> None:
    assert b"\r\n filename*=utf-8''%C3%BC.pdf\r\n" in entity(Attachment("ü.pdf", b"x", "application/pdf"))


@pytest.mark.parametrize("template", [None, "welcome"])
def test_the_payload_brings_them_with_and_without_a_template(template: str | None, tmp_path: Path) -> None:
    (tmp_path / "welcome").mkdir()
    (tmp_path / "welcome" / "subject.txt").write_text("Files")
    (tmp_path / "welcome" / "body.txt").write_text("Hello")
    payload = {"subject": "Files", "text": "Hello", "attachments": [{"name": "a.pdf", "content": in_base64(b"x")}]}
    notification = Notification(uuid4(), "email", "ada@example.org", template, None, payload)
    composed = compose_for("email")(notification, Templates(tmp_path))
    assert composed.attachments == (Attachment("a.pdf", b"x", "application/pdf"),)


@pytest.mark.parametrize(
    ("attachments", "problem"),
    [
        ({}, "attachments must be a list, not dict"),
        (["a.pdf"], "attachment 1 is not an object with name, content"),
        ([{"name": "a.pdf"}], "attachment 1 is not an object with name, content"),
        ([{"name": "a.pdf", "content": "eA==", "url": "https://a"}], "attachment 1 is not an object"),
        ([{"name": "a.pdf", "url": 7}], "attachment 1: its url must begin with https:// and a host"),
        ([{"name": "a.pdf", "url": "ftp://a/secret"}], "attachment 1: its url must begin with https://"),
        ([{"name": "a.pdf", "url": "https://"}], "its url must begin with https://"),
        ([{"name": "a.pdf", "url": "https:///secret"}], "its url must begin with https://"),
        ([{"name": "a.pdf", "url": "https://ada:secret@a/"}], "its url must begin with https://"),
        ([{"name": "a.pdf", "url": "https://a/ secret"}], "its url must begin with https://"),
        ([{"name": "a.pdf", "url": "https://a/\r\nX: secret"}], "its url must begin with https://"),
        ([{"name": "a.pdf", "content": "eA=="}] * 21, "attachments: there are at most 20, not 21"),
        ([{"name": "a", "content": "eA=="}, {"name": "../a", "content": "eA=="}], "attachment 2: its name"),
        ([{"name": "a\r\nBcc: x", "content": "eA=="}], "its name"),
        ([{"name": "", "content": "eA=="}], "its name"),
        ([{"name": " ", "content": "eA=="}], "its name"),
        ([{"name": 1, "content": "eA=="}], "its name"),
        ([{"name": "a", "content": "secret!"}], "its content is not base64"),
        ([{"name": "a", "content": 7}], "its content is not base64"),
        ([{"name": "a", "content": "eA==", "type": "pdf"}], "its type is no media type"),
        ([{"name": "a", "content": "eA==", "type": "text/html\r\nX: y"}], "its type is no media type"),
        ([{"name": "a", "content": "eA==", "type": "multipart/mixed"}], "its type is no media type"),
    ],
)
def test_one_that_is_none_is_refused_and_not_repeated(attachments: object, problem: str) -> None:
    with pytest.raises(InvalidNotification, match=problem) as refused:
        Draft.of({"channel": "email", "recipient": "ada@example.org", "payload": {"attachments": attachments}})
    assert "secret" not in str(refused.value)
    payload = {"subject": "Files", "text": "Hello", "attachments": attachments}
    with pytest.raises(Rejected, match=problem) as caught:
        compose_for("email")(Notification(uuid4(), "email", "ada@example.org", payload=payload), Templates(Path()))
    assert "secret" not in str(caught.value)


def test_its_repr_does_not_say_what_it_says() -> None:
    assert repr(PDF) == f"Attachment('application/pdf', {len(PDF.content)} bytes)"


async def sent(name: str, settings: Any) -> list[Request]:
    async with HttpServer(lambda _: Reply(200)) as server:
        provider = load_provider("email", name, {**settings, "url": server.url})
        for _ in range(2):
            await provider.send(MESSAGE, KEY)
        await provider.aclose()
    return server.requests


@pytest.mark.parametrize(
    ("name", "settings", "where", "keys"),
    [
        ("postmark", email_postmark.COUNTERPART.settings, "Attachments", ("Name", "Content", "ContentType")),
        ("resend", email_resend.COUNTERPART.settings, "attachments", ("filename", "content", "content_type")),
        ("sendgrid", email_sendgrid.COUNTERPART.settings, "attachments", ("filename", "content", "type")),
    ],
)
async def test_an_api_takes_them_in_base64(name: str, settings: Any, where: str, keys: tuple[str, str, str]) -> None:
    request, again = await sent(name, settings)
    assert request.body == again.body
    files = [tuple(file[key] for key in keys) for file in request.json()[where]]
    assert [(named, b64decode(content), kind) for named, content, kind in files] == [tuple(PDF), tuple(PHOTO)]


async def test_mailgun_takes_them_in_a_form_with_files() -> None:
    request, again = await sent("mailgun", email_mailgun.COUNTERPART.settings)
    assert request.body == again.body
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = list(email.message_from_bytes(head + request.body, policy=email.policy.HTTP).iter_parts())
    named = {part.get_param("name", header="content-disposition"): part for part in parts}
    assert named["subject"].get_content().strip() == "Files"
    assert named["v:outbox-id"].get_content().strip() == KEY
    files = [part for part in parts if part.get_param("name", header="content-disposition") == "attachment"]
    assert [part.get_content_type() for part in files] == ["application/pdf", "image/png"]
    assert b"\r\n\r\n" + PDF.content + b"\r\n--" in request.body
    assert b"\r\n\r\n" + PHOTO.content + b"\r\n--" in request.body
    assert 'filename="Grüße %22an%22 alle.png"'.encode() in request.body
