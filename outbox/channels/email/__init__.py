"""The email channel: what a notification becomes before a provider sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox import email_fields
from outbox.channels.email.fetching import Fetching
from outbox.channels.guard import TlsOptionalSettings
from outbox.channels.payload import text as payload_text
from outbox.errors import InvalidNotification, Rejected
from outbox.messages import Email

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.messages import Digests, Notification
    from outbox.render import Templates

_NOT_MAILED = {"traceparent", "tracestate"}  # W3C trace context, for our own spans


def compose(notification: Notification, templates: Templates) -> Email:
    """Return the email that a notification asks for: from its template, or its payload's `subject`, `text` and `html`.

    The payload's other fields (`outbox.email_fields`) go along with either.

    Raises:
        Rejected: a template or variable is missing, the payload lacks a subject or both bodies, or a field of it is not
            as it should be; says which.
    """
    if notification.template is not None:
        parts = templates.parts(notification)
        subject, text, html = parts.get("subject.txt"), parts.get("body.txt"), parts.get("body.html")
        digests: Digests | None = parts.digests
        whence = f"template {notification.template}: "
        wanted = "subject.txt", "body.txt or body.html"
    else:
        payload, digests = notification.payload, None
        subject, text, html = (payload_text(payload, name) for name in ("subject", "text", "html"))
        whence = "payload: "
        wanted = "a subject", "a text or an html"
    if subject is None:
        raise Rejected(f"{whence}{wanted[0]} is missing")
    if text is None and html is None:
        raise Rejected(f"{whence}{wanted[1]} is missing")
    try:
        fields = email_fields.read(notification.payload, notification.headers)
    except InvalidNotification as error:
        raise Rejected(str(error)) from None
    return Email(
        notification.recipient,
        subject.strip(),
        text,
        html,
        _headers(notification.headers, fields.reply_to),
        fields.attachments.files,
        sender=fields.sender,
        cc=fields.cc,
        bcc=fields.bcc,
        tags=fields.tags,
        links=fields.attachments.links,
        digests=digests,
        expires_in=notification.expires_in,
    )


def completion(settings: Mapping[str, Any]) -> Fetching:
    """Return what completes emails before they are sent: it fetches attachments, as `[attachments]` lets it.

    Raises:
        ValidationError: the settings are wrong.
    """
    return Fetching(TlsOptionalSettings.model_validate(settings))


def _headers(headers: Mapping[str, Any] | None, reply_to: str | None) -> dict[str, str]:
    mailed = {name: value for name, value in (headers or {}).items() if name.lower() not in _NOT_MAILED}
    for name, value in mailed.items():
        if not isinstance(value, str):
            raise Rejected(f"headers: {name} must be text, not {type(value).__name__}")
    return mailed if reply_to is None else {"Reply-To": reply_to, **mailed}
