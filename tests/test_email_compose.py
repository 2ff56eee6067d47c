"""From a notification to an email: its template, or what its payload says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from outbox.channels.email import compose
from outbox.errors import Rejected
from outbox.messages import Email, Notification
from outbox.render import Templates

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    welcome = tmp_path / "welcome"
    welcome.mkdir()
    (welcome / "subject.txt").write_text("Welcome, {{ name }}\n")
    (welcome / "body.txt").write_text("Hello {{ name }}\n")
    (welcome / "body.html").write_text("<p>Hello {{ name }}</p>\n")
    (tmp_path / "silent").mkdir()
    (tmp_path / "silent" / "subject.txt").write_text("Nothing more\n")
    (tmp_path / "nameless").mkdir()
    (tmp_path / "nameless" / "body.txt").write_text("Nothing above\n")
    return Templates(tmp_path)


def notification(**changes: Any) -> Notification:
    key = UUID("019ab1f0-3c00-7000-8000-0123456789ab")
    return Notification(**{"id": key, "channel": "email", "recipient": "ada@example.com", **changes})


def test_a_template_gives_all_parts(templates: Templates) -> None:
    message = compose(notification(template="welcome", payload={"name": "A & B"}), templates)
    expected = Email("ada@example.com", "Welcome, A & B", "Hello A & B", "<p>Hello A &amp; B</p>")
    assert message._replace(digests=None) == expected


def test_without_a_template_the_payload_is_the_message(templates: Templates) -> None:
    payload = {"subject": "Hi ", "text": "Hello", "html": "<p>Hello", "anything": "else"}
    assert compose(notification(payload=payload), templates) == Email("ada@example.com", "Hi", "Hello", "<p>Hello")


@pytest.mark.parametrize("body", ["text", "html"])
def test_one_body_is_enough(templates: Templates, body: str) -> None:
    message = compose(notification(payload={"subject": "Hi", body: "Hello"}), templates)
    assert (message.text, message.html) == (("Hello", None) if body == "text" else (None, "Hello"))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"payload": {"text": "Hello"}}, "payload: a subject is missing"),
        ({"payload": {"subject": "Hi"}}, "payload: a text or an html is missing"),
        ({"payload": {"subject": 4711, "text": "Hello"}}, "payload: subject must be text, not int"),
        ({"payload": {"subject": "Hi", "html": ["Hello"]}}, "payload: html must be text, not list"),
        ({"template": "silent"}, "template silent: body.txt or body.html is missing"),
        ({"template": "nameless"}, "template nameless: subject.txt is missing"),
        ({"template": "welcome"}, "name"),
        ({"template": "welcom"}, "welcom"),
        ({"payload": {"subject": "Hi", "text": "Hello"}, "headers": {"X-A": 1}}, "headers: X-A must be text, not int"),
    ],
)
def test_what_is_missing_or_wrong_is_named(templates: Templates, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(Rejected, match=problem):
        compose(notification(**changes), templates)


def test_headers_are_mailed_but_trace_context_is_not(templates: Templates) -> None:
    headers = {"Reply-To": "grace@example.com", "traceparent": "00-1-2-01", "Tracestate": "a=b"}
    message = compose(notification(payload={"subject": "Hi", "text": "Hello"}, headers=headers), templates)
    assert message.headers == {"Reply-To": "grace@example.com"}
