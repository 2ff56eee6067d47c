"""Email over SMTP, through a relay: the provider named `smtp`."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time

from outbox.channels.email.mime import build, moment
from outbox.channels.email.recipients import recipients_of
from outbox.channels.email.sender import sender_of
from outbox.channels.email.smtp_connection import Connection, Envelope
from outbox.channels.email.smtp_opening import opened
from outbox.channels.email.smtp_pool import Pool
from outbox.channels.email.smtp_settings import Limits, Settings
from outbox.errors import clean
from outbox.messages import Email, Receipt

__all__ = ["Provider", "Settings"]

# In this order: a filter before the relay names its own with id=, and the relay's after it.
_QUEUE_IDS = (
    re.compile(r"queued as ([\w-]+(?:\.[\w-]+)*)", re.IGNORECASE),  # Postfix and most relays
    re.compile(r"\bid=([\w-]+)"),  # Exim
    re.compile(r"^2\.\d\.\d (\w{8,}) Message accepted"),  # Sendmail
    re.compile(r"^Ok ([0-9a-f][\w-]{15,})\s*$"),  # Amazon SES
)
_ID_LIMIT = 200
_HOST_NAME = re.compile(r"[A-Za-z0-9.-]+")


class Provider:
    """Sends email through one SMTP relay, over at most `settings.connections` connections that it keeps open.

    Use it in one event loop, and end with `aclose`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = _tls_context(settings)
        self._helo_name = settings.helo_name
        self._limits = Limits(settings)
        self._pool = Pool(
            self._connect,
            size=settings.connections,
            patience=settings.pool_timeout,
            messages=settings.message_limit,
            idle=settings.idle_limit,
        )

    async def send(self, message: Email, key: str) -> Receipt:
        """Send one email and return the relay's acceptance, with its queue id where it gives one.

        `key` is the notification's id, a UUIDv7: its Message-ID, and its time the Date, so that every attempt sends
        the same bytes.

        Raises:
            DeliveryError: one of the six, by the table in `smtp_replies`; `Ambiguous` if the connection ended, or
                `data_timeout` passed, between the final dot and its answer.
        """
        sender = sender_of(message, self._settings.sender)
        content = build(
            message,
            sender=self._settings.sender,
            message_id=f"{key}@{sender.domain}",
            date=moment(key),
        )
        recipients = recipients_of(message)
        own_sender = message.sender is not None
        envelope = Envelope(sender.address, recipients.to, content, recipients.copies, own_sender=own_sender)
        deadline = None if message.expires_in is None else time.monotonic() + message.expires_in
        accepted = await self._pool.deliver(envelope, deadline)
        return Receipt(_provider_message_id(accepted.words), refused_copies=accepted.refused_copies)

    async def probe(self) -> None:
        """Connect, log in, and take leave; send nothing.

        Raises:
            DeliveryError: the relay cannot be reached, proves to be another, or refuses the credentials.
        """
        connection = await self._connect()
        await connection.quit(self._settings.timeout)

    async def aclose(self) -> None:
        """Take leave of the relay; waits for its answers, a second at most."""
        await self._pool.aclose()

    async def _connect(self) -> Connection:
        if self._helo_name is None:
            self._helo_name = await asyncio.to_thread(_own_name)
        wire, extensions = await opened(self._settings, self._context, self._helo_name)
        return Connection(wire, self._limits, extensions)


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls == "none":
        return None
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _own_name() -> str:
    """Return this host's name for EHLO; an address literal if it has none that SMTP would take."""
    name = socket.getfqdn()
    return name if _HOST_NAME.fullmatch(name) else "[127.0.0.1]"


def _provider_message_id(acceptance: str) -> str | None:
    for pattern in _QUEUE_IDS:
        if match := pattern.search(acceptance):
            return clean(match[1], _ID_LIMIT)
    return None
