"""From a notification to a push: its template, or what its payload says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from outbox.channels.push import compose
from outbox.errors import Rejected
from outbox.messages import PRIORITIES, Notification, Push
from outbox.render import Templates

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    for name, file, text in [
        ("shipped", "subject.txt", "Order {{ order }}\n"),
        ("shipped", "body.txt", "It is on its way\n"),
        ("brief", "body.txt", "Order {{ order }}\n"),
        ("letter", "body.html", "<p>Dear {{ order }}</p>\n"),
    ]:
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_text(text)
    return Templates(tmp_path)


def notification(**changes: Any) -> Notification:
    key = UUID("019ab1f0-3c00-7000-8000-0123456789ab")
    return Notification(**{"id": key, "channel": "push", "recipient": "a-token", **changes})


def test_a_template_gives_title_and_body(templates: Templates) -> None:
    message = compose(notification(template="shipped", payload={"order": 42, "title": "not this"}), templates)
    assert message._replace(digests=None) == Push("a-token", "Order 42", "It is on its way")


def test_a_body_is_enough(templates: Templates) -> None:
    assert compose(notification(template="brief", payload={"order": 42}), templates).title is None
    assert compose(notification(payload={"body": "Hello"}), templates) == Push("a-token", body="Hello")


def test_the_payload_gives_everything_else(templates: Templates) -> None:
    payload = {
        "order": 42,
        "data": {"order": "42", "lines": [1, {"é": None}], "paid": True},
        "badge": 3,
        "sound": "bell.caf",
        "image": "https://cdn.example.org/parcel.png",
        "collapse_key": "order-42",
    }
    message = compose(notification(template="shipped", payload=payload, expires_in=60.0), templates)
    assert message._replace(digests=None) == Push(
        "a-token",
        "Order 42",
        "It is on its way",
        {"order": "42", "lines": '[1,{"é":null}]', "paid": "true"},
        3,
        "bell.caf",
        "https://cdn.example.org/parcel.png",
        "order-42",
        60.0,
    )


def test_data_alone_is_for_the_application(templates: Templates) -> None:
    message = compose(notification(payload={"data": {"sync": "orders"}}), templates)
    assert (message.title, message.body, message.data) == (None, None, {"sync": "orders"})


@pytest.mark.parametrize(
    "given",
    ["2026-05-17T12:30:00Z", "2026-05-17T14:30:00+02:00", "2026-05-17 12:30:00.000+00:00", 1_779_021_000, 1779021000.0],
)
def test_the_application_may_say_when_the_token_was_registered(templates: Templates, given: object) -> None:
    message = compose(notification(payload={"title": "Hi", "registered_at": given}), templates)
    assert message.registered_at == datetime(2026, 5, 17, 12, 30, tzinfo=UTC)
    assert compose(notification(payload={"title": "Hi"}), templates).registered_at is None


@pytest.mark.parametrize(("priority", "urgent"), [("urgent", True), ("high", True), ("normal", False), ("bulk", False)])
def test_high_priorities_are_urgent(templates: Templates, priority: str, *, urgent: bool) -> None:
    message = compose(notification(payload={"title": "Hi"}, priority=PRIORITIES[priority]), templates)
    assert message.urgent is urgent


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"payload": {}}, "payload: a title, a body or data is missing"),
        ({"payload": {"data": {}}}, "payload: a title, a body or data is missing"),
        ({"payload": {"title": 4711}}, "payload: title must be text, not int"),
        ({"payload": {"body": ["Hello"]}}, "payload: body must be text, not list"),
        ({"payload": {"title": "Hi", "data": "x"}}, "payload: data must be an object, not str"),
        ({"payload": {"title": "Hi", "badge": "3"}}, "payload: badge must be a whole number, not str"),
        ({"payload": {"title": "Hi", "badge": True}}, "payload: badge must be a whole number, not bool"),
        ({"payload": {"title": "Hi", "badge": 1.5}}, "payload: badge must be a whole number, not float"),
        ({"payload": {"title": "Hi", "badge": -1}}, "payload: badge must not be negative"),
        ({"payload": {"title": "Hi", "sound": {}}}, "payload: sound must be text, not dict"),
        ({"payload": {"title": "Hi", "image": 1}}, "payload: image must be text, not int"),
        ({"payload": {"title": "Hi", "collapse_key": 1}}, "payload: collapse_key must be text, not int"),
        ({"payload": {"title": "Hi", "registered_at": True}}, "payload: registered_at must be a date-time or a number"),
        ({"payload": {"title": "Hi", "registered_at": ["x"]}}, "payload: registered_at must be a date-time or a numb"),
        ({"payload": {"title": "Hi", "registered_at": "soon"}}, "payload: registered_at must be a date-time in ISO"),
        ({"payload": {"title": "Hi", "registered_at": "1779021000"}}, "payload: registered_at must be a date-time in"),
        (
            {"payload": {"title": "Hi", "registered_at": 1_779_021_000_000}},
            "registered_at must be .* seconds since 1970",
        ),
        ({"payload": {"title": "Hi", "registered_at": 1e300}}, "registered_at must be .* seconds since 1970"),
        ({"payload": {"title": "Hi", "registered_at": "2026-05-17T12:30:00"}}, "registered_at must have its offset"),
        ({"payload": {"title": "Hi", "registered_at": "2026-05-17"}}, "registered_at must have its offset"),
        ({"template": "letter", "payload": {"order": 1}}, "template letter: subject.txt or body.txt is missing"),
        ({"template": "shipped"}, "order"),
    ],
)
def test_what_is_missing_or_wrong_is_named(templates: Templates, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(Rejected, match=problem):
        compose(notification(**changes), templates)
