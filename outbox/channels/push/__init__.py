"""The push channel: what a notification becomes before a provider sends it to a device."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from outbox.channels.payload import text as payload_text
from outbox.errors import Rejected
from outbox.messages import PRIORITIES, Push

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.messages import Digests, Notification
    from outbox.render import Templates


def compose(notification: Notification, templates: Templates) -> Push:
    """Return the push that a notification asks for.

    Title and body are from its template's `subject.txt` and `body.txt`, else from its payload's `title` and `body`.
    The payload's `data`, `badge`, `sound`, `image` and `collapse_key` are taken either way; of `data`, what is not text
    becomes JSON. Its `registered_at`, an ISO 8601 date-time with its offset or seconds since 1970, is when the device
    last gave its token to the application. It is urgent from the priority `high` on.

    Raises:
        Rejected: a template or variable is missing, a key of the payload has the wrong type, or there is neither title,
            body nor data; says which.
    """
    payload = notification.payload
    digests: Digests | None = None
    if notification.template is not None:
        parts = templates.parts(notification)
        title, body, digests = parts.get("subject.txt"), parts.get("body.txt"), parts.digests
        if title is None and body is None:
            raise Rejected(f"template {notification.template}: subject.txt or body.txt is missing")
    else:
        title, body = payload_text(payload, "title"), payload_text(payload, "body")
    data = _data(payload)
    if title is None and body is None and not data:
        raise Rejected("payload: a title, a body or data is missing")
    return Push(
        notification.recipient,
        title.strip() if title is not None else None,
        body.strip() if body is not None else None,
        data,
        _number(payload, "badge"),
        payload_text(payload, "sound"),
        payload_text(payload, "image"),
        payload_text(payload, "collapse_key"),
        notification.expires_in,
        urgent=notification.priority <= PRIORITIES["high"],
        registered_at=_moment(payload, "registered_at"),
        digests=digests,
    )


def _number(payload: Mapping[str, Any], name: str) -> int | None:
    value = payload.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise Rejected(f"payload: {name} must be a whole number, not {type(value).__name__}")
    if value < 0:
        raise Rejected(f"payload: {name} must not be negative")
    return value


def _moment(payload: Mapping[str, Any], name: str) -> datetime | None:
    value = payload.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        raise Rejected(f"payload: {name} must be a date-time or a number, not {type(value).__name__}")
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise Rejected(f"payload: {name} must be a date-time in ISO 8601, or seconds since 1970") from None
    if moment.tzinfo is None:
        raise Rejected(f"payload: {name} must have its offset from UTC, such as Z or +02:00")
    return moment


def _data(payload: Mapping[str, Any]) -> dict[str, str]:
    data = payload.get("data")
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise Rejected(f"payload: data must be an object, not {type(data).__name__}")
    return {name: value if isinstance(value, str) else _as_json(value) for name, value in data.items()}


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
