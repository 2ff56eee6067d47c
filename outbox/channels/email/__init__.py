"""The email channel: what a notification becomes before a provider sends it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from outbox import email_fields
from outbox.channels.email.fetching import Fetching
from outbox.channels.guarded_settings import TlsOptionalSettings
from outbox.channels.payload import text as payload_text
from outbox.errors import InvalidNotification, Rejected
from outbox.messages import Email
from outbox.oneclick import VARIABLE, Links

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from outbox.config import Config
    from outbox.messages import Digests, Notification
    from outbox.render import Templates

_NOT_MAILED = {"traceparent", "tracestate"}  # W3C trace context, for our own spans


def compose(notification: Notification, templates: Templates, links: Links | None = None) -> Email:
    """Return the email that a notification asks for: from its template, or its payload's `subject`, `text` and `html`.

    The payload's other fields (`outbox.email_fields`) go along with either, and so does the link of its topic, if
    `links` has one: as a variable, and as headers.

    Raises:
        Rejected: a template or variable is missing, the payload lacks a subject or both bodies, or a field of it is not
            as it should be; says which.
    """
    token = None if links is None else links.token(notification)
    if notification.template is not None:
        parts = templates.parts(notification, {VARIABLE: links.url(token)} if links and token else None)
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
    headers = _headers(notification.headers, fields.reply_to)
    return Email(
        notification.recipient,
        subject.strip(),
        text,
        html,
        _with_link(headers, links.headers(token)) if links and token else headers,
        fields.attachments.files,
        sender=fields.sender,
        cc=fields.cc,
        bcc=fields.bcc,
        tags=fields.tags,
        links=fields.attachments.links,
        digests=digests,
        expires_in=notification.expires_in,
    )


def composing(config: Config) -> Callable[[Notification, Templates], Email]:
    """Return `compose` as a configuration has it: with links to unsubscribe, where topics offer them.

    Raises:
        ConfigError: it lacks what these are made of.
    """
    links = Links.of(config)
    return compose if links is None else partial(compose, links=links)


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


def _with_link(headers: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Add the fields of a link, unless the notification says itself how to unsubscribe from it."""
    given = {name.lower() for name in headers}
    if "list-unsubscribe" in given:
        return dict(headers)
    return {**headers, **{name: value for name, value in ours.items() if name.lower() not in given}}
