"""The in-app channel: notifications that people see in the application itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.channels.payload import text as payload_text
from outbox.errors import Rejected
from outbox.messages import InApp

if TYPE_CHECKING:
    from outbox.messages import Digests, Notification
    from outbox.render import Templates


_LONGEST_RECIPIENT = 2_000  # bytes: the index of inboxes takes 2,704 with all that is in it


def compose(notification: Notification, templates: Templates) -> InApp:
    """Return what a notification shows: from its template (the subject is the title), or its payload.

    Of the payload, `url`, `category` and `data` are taken in both cases, `title` and `body` without a template.

    Raises:
        Rejected: a template or variable is missing, there is no title, or a value is of the wrong kind; says which.
    """
    payload = notification.payload
    digests: Digests | None = None
    if notification.template is None:
        title, body = payload_text(payload, "title"), payload_text(payload, "body")
    else:
        parts = templates.parts(notification)
        title, body, digests = parts.get("subject.txt"), parts.get("body.txt"), parts.digests
    if not title or not title.strip():
        raise Rejected("the title is missing: the payload's title, or the template's subject.txt")
    if len(notification.recipient.encode()) > _LONGEST_RECIPIENT:
        raise Rejected(f"the recipient has more than {_LONGEST_RECIPIENT:,} bytes, which an inbox does not take")
    if "\0" in title or "\0" in (body or ""):
        raise Rejected("the title or the body has a U+0000 in it, which PostgreSQL does not keep")
    data = payload.get("data") or {}
    if not isinstance(data, dict):
        raise Rejected(f"payload: data must be an object, not {type(data).__name__}")
    url, category = payload_text(payload, "url"), payload_text(payload, "category")
    return InApp(notification.recipient, title.strip(), (body or "").strip(), url, category or "", data, digests)
