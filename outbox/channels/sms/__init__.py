"""The SMS channel: what a notification becomes before a provider sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.channels.payload import text as payload_text
from outbox.channels.sms.e164 import wire_number
from outbox.channels.sms.segments import count_parts
from outbox.errors import Rejected
from outbox.messages import Sms

if TYPE_CHECKING:
    from outbox.messages import Digests, Notification
    from outbox.render import Templates


def compose(notification: Notification, templates: Templates) -> Sms:
    """Return the text message that a notification asks for: its template's `body.txt`, or its payload's `text`.

    Raises:
        Rejected: a template or variable is missing, there is no text, or the recipient is no number in E.164; says
            which, and repeats neither.
    """
    if notification.template is not None:
        parts = templates.parts(notification)
        text, name = parts.get("body.txt"), f"template {notification.template}: body.txt"
        digests: Digests | None = parts.digests
    else:
        text, name, digests = payload_text(notification.payload, "text"), "payload: text", None
    if text is None:
        raise Rejected(f"{name} is missing")
    if not text.strip():
        raise Rejected(f"{name} is empty")
    try:
        recipient = wire_number(notification.recipient)
    except ValueError as error:
        raise Rejected(f"recipient: {error}") from None
    return Sms(recipient, text, notification.expires_in, count_parts(text).parts, digests)
