"""One SMTP session: opened, encrypted and authenticated once, then one message after another.

What matters here is to know how far a message got. Until the final dot has left, nothing can have been accepted, and
every failure is `Temporary`; from then until the reply nobody can know (RFC 1047), and every failure is `Ambiguous`.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import aiosmtplib

from outbox.channels.email.smtp_replies import NEGATIVE, POSITIVE, Phase, judge
from outbox.errors import Ambiguous, Misconfigured, Rejected, Temporary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.channels.email.smtp_settings import Settings

_MECHANISMS = ("plain", "login", "cram-md5")  # one try only: a wrong password tried three ways locks accounts
_WHOLE = 65_536  # octets; a longer message is seen off to the kernel before its final dot is written
_DRAIN_POLL = 0.01  # seconds
_PEER_WENT_AWAY = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message ready for the wire: `content` has CRLF line ends and ends with one; `recipient` may need SMTPUTF8."""

    sender: str
    recipient: str
    content: bytes = field(repr=False)


class Stale(Exception):
    """A connection that had served before was found closed, before the server took anything of this message."""


class Connection:
    """An open session. `usable` is False while a message is on its way and after anything that leaves it in doubt."""

    def __init__(self, client: aiosmtplib.SMTP, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._busy = False
        self.sent = 0
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Whether another message can go over this connection."""
        return self._client.is_connected and not self._busy

    async def deliver(self, envelope: Envelope) -> str:
        """Send one message and return the words of the server's acceptance.

        Raises:
            Stale: see there; send it over another connection.
            DeliveryError: it was not accepted, or (`Ambiguous`) nobody knows.
        """
        self._busy = True
        await self._mail(envelope)
        await self._command(Phase.RCPT, b"RCPT", b"TO:<" + envelope.recipient.encode() + b">")
        await self._command(Phase.DATA, b"DATA")
        text = await self._content(envelope.content)
        self.sent += 1
        self._busy = False
        return text

    async def quit(self, limit: float) -> None:
        """Take leave of the server and close; wait at most `limit` seconds for its answer."""
        try:
            await self._client.quit(timeout=limit)
        except (aiosmtplib.SMTPException, OSError):
            pass
        finally:
            self._client.close()

    def retire(self) -> None:
        """Close at once; say QUIT if the session is in order, but do not wait for an answer."""
        if self.usable and self._client.protocol is not None:
            self._client.protocol.write(b"QUIT\r\n")
        elif self._client.transport is not None:  # which close() would keep open until a stalled server had read it all
            cast("asyncio.WriteTransport", self._client.transport).abort()
        self._client.close()

    async def _mail(self, envelope: Envelope) -> None:
        options = []
        if self._client.supports_extension("size"):
            options.append(f"SIZE={len(envelope.content)}".encode())  # RFC 1870
        if not envelope.recipient.isascii():
            if not self._client.supports_extension("smtputf8"):
                self._busy = False
                raise Rejected("the address has non-ASCII characters before the @, and this server has no SMTPUTF8")
            options.append(b"SMTPUTF8")  # RFC 6531
        try:
            await self._command(Phase.MAIL, b"MAIL", b"FROM:<" + envelope.sender.encode() + b">", *options)
        except Temporary as error:
            if self.sent and not self._client.is_connected:
                raise Stale from error
            raise

    async def _command(self, phase: Phase, *command: bytes) -> None:
        with _translated(phase):
            code, text = await self._client.execute_command(*command)
        if code == aiosmtplib.SMTPStatus.start_input if phase is Phase.DATA else code in POSITIVE:
            return
        if code in NEGATIVE:
            await self._reset()
        raise judge(phase, code, text)

    async def _reset(self) -> None:
        """Forget a refused message on the server, so that the connection can take the next one."""
        try:
            await self._client.rset()
        except (aiosmtplib.SMTPException, OSError):
            self._client.close()
        else:
            self._busy = False

    async def _content(self, content: bytes) -> str:
        """Send the content, dots stuffed (RFC 5321 section 4.5.2), and return the words of a positive reply."""
        protocol = self._client.protocol
        if protocol is None:
            raise Temporary(f"connection lost at {Phase.DATA}")
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        with _translated(Phase.DATA):
            if len(stuffed) > _WHOLE:
                await self._drain(protocol, stuffed)
                stuffed = b""
            protocol.write(stuffed + b".\r\n")
        with _translated(Phase.CONTENT):
            code, text = await protocol.read_response(timeout=self._settings.data_timeout)
        if code in POSITIVE:
            return text
        self._busy = code not in NEGATIVE or code == aiosmtplib.SMTPStatus.domain_unavailable
        raise judge(Phase.CONTENT, code, text)

    async def _drain(self, protocol: aiosmtplib.protocol.SMTPProtocol, data: bytes) -> None:
        """Write and wait until the kernel has it all, so that a loss meanwhile is known to be before the dot."""
        protocol.write(data)
        transport = cast("asyncio.WriteTransport", protocol.transport)
        async with asyncio.timeout(self._settings.timeout):
            while transport.get_write_buffer_size():  # noqa: ASYNC110  only the library's protocol hears that it is empty
                await asyncio.sleep(_DRAIN_POLL)


async def connect(settings: Settings, context: ssl.SSLContext | None, helo_name: str) -> Connection:
    """Open a session: connect, EHLO, TLS as the settings say (never less), and authenticate.

    Raises:
        Temporary: the server cannot be reached, or is not ready.
        Throttled: it has too many of our connections.
        Misconfigured: its certificate, its lack of STARTTLS, our credentials, or it will not speak to us at all.
    """
    client = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        local_hostname=helo_name,
        timeout=settings.timeout,
        use_tls=settings.tls == "implicit",
        start_tls=False,
        tls_context=context,
    )
    try:
        with _translated(Phase.CONNECT):
            await client.connect()
            await client.ehlo()
        if settings.tls == "starttls":
            await _start_tls(client)
        if settings.username is not None and settings.password is not None:
            await _authenticate(client, settings.username, settings.password.get_secret_value())
    except BaseException:
        client.close()
        raise
    return Connection(client, settings)


async def _start_tls(client: aiosmtplib.SMTP) -> None:
    if not client.supports_extension("starttls"):
        raise Misconfigured(f'{client.hostname} does not offer STARTTLS, which tls = "starttls" requires')
    with _translated(Phase.STARTTLS):
        await client.starttls()
        await client.ehlo()


async def _authenticate(client: aiosmtplib.SMTP, username: str, password: str) -> None:
    mechanism = next((name for name in _MECHANISMS if name in client.server_auth_methods), None)
    if mechanism is None:
        offered = ", ".join(client.server_auth_methods) or "none"
        raise Misconfigured(f"{client.hostname} offers no AUTH mechanism that we speak (it offers {offered})")
    authenticate = {"plain": client.auth_plain, "login": client.auth_login, "cram-md5": client.auth_crammd5}[mechanism]
    with _translated(Phase.AUTH):
        try:
            await authenticate(username, password)
        except aiosmtplib.SMTPResponseException as error:
            raise judge(Phase.AUTH, error.code, _without_secrets(error.message, username, password)) from None


def _without_secrets(text: str, username: str, password: str) -> str:
    """Return a reply without the credentials that a server may repeat in it, plain or as they went over the wire."""
    forms = (f"\0{username}\0{password}", password)
    for secret in (*(b64encode(form.encode()).decode() for form in forms), password):
        text = text.replace(secret, "[password]")
    return text


@contextmanager
def _translated(phase: Phase) -> Iterator[None]:
    """Raise this package's errors for the trouble of the library and of the socket, by how far the message was."""
    unproved = Ambiguous if phase is Phase.CONTENT else Temporary
    try:
        yield
    except aiosmtplib.SMTPResponseException as error:
        raise judge(phase, error.code, error.message) from None
    except TimeoutError:
        raise unproved(f"no answer in time at {phase}") from None
    except (aiosmtplib.SMTPException, OSError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, _PEER_WENT_AWAY) and phase is not Phase.CONTENT:
            raise Misconfigured(f"TLS at {phase}: {cause}") from None
        raise unproved(f"connection lost at {phase}: {cause}") from None
