"""The chat channel: what a notification becomes before a provider posts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.channels.payload import text as payload_text
from outbox.errors import Rejected
from outbox.messages import Chat

if TYPE_CHECKING:
    from outbox.messages import Digests, Notification
    from outbox.render import Templates


def compose(notification: Notification, templates: Templates) -> Chat:
    """Return the message that a notification asks for: its template's `body.txt`, or its payload's `text`.

    Raises:
        Rejected: a template or variable is missing, or there is no text, or nothing in it; says which.
    """
    if notification.template is not None:
        parts = templates.parts(notification)
        text, wanted = parts.get("body.txt"), f"template {notification.template}: body.txt"
        digests: Digests | None = parts.digests
    else:
        text, wanted, digests = payload_text(notification.payload, "text"), "payload: a text", None
    if text is None:
        raise Rejected(f"{wanted} is missing")
    if not text.strip():
        raise Rejected(f"{wanted} has nothing in it")
    return Chat(notification.recipient, text.strip("\r\n"), digests)
