"""What the SMTP tests share: a provider for a server of the test, a message, and a key."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from outbox.channels.email.smtp import Provider, Settings
from outbox.messages import Email

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "019ab1f0-3c00-7000-8000-0123456789ab"
SENDER = "Example <hello@example.org>"


def email(recipient: str = "ada@example.com", **changes: Any) -> Email:
    return Email(recipient, **{"subject": "Welcome", "text": "Hello Ada,\n.\n..dots\n", "html": "<p>Hello", **changes})


def settings(port: int, **changes: Any) -> Settings:
    plain = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": SENDER, "helo_name": "client.test"}
    return Settings.model_validate({**plain, "timeout": 5, "data_timeout": 5, **changes})


@asynccontextmanager
async def provider(port: int, **changes: Any) -> AsyncIterator[Provider]:
    """A provider for the server on `port` of 127.0.0.1, closed at the end."""
    smtp = Provider(settings(port, **changes))
    try:
        yield smtp
    finally:
        await smtp.aclose()
