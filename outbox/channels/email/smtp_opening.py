"""The beginning of an SMTP session: connected, encrypted and authenticated, once for many messages."""

from __future__ import annotations

import ssl
from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import aiosmtplib

from outbox.channels.email.smtp_replies import Phase, judge
from outbox.channels.email.smtp_wire import Wire
from outbox.errors import Ambiguous, DeliveryError, Misconfigured, Temporary

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from outbox.channels.email.smtp_settings import Settings

_MECHANISMS = ("plain", "login", "cram-md5")  # one try only: a wrong password tried three ways locks accounts
_PEER_WENT_AWAY = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


async def opened(settings: Settings, context: ssl.SSLContext | None, helo_name: str) -> tuple[Wire, frozenset[str]]:
    """Open a session: connect, EHLO, TLS as the settings say (never less), and authenticate.

    Returns its wire, and the extensions that the server has, in lower case.

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
    transport = cast("asyncio.Transport", client.transport)
    return Wire(transport), frozenset(client.esmtp_extensions)


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
    """Raise this package's errors for the trouble of the library and of the socket."""
    try:
        yield
    except (aiosmtplib.SMTPException, OSError) as error:
        raise meaning(error, phase) from None


def meaning(error: Exception, phase: Phase) -> DeliveryError:
    """Return this package's error for one of the library or of the socket, by how far the message was."""
    unproved = Ambiguous if phase is Phase.CONTENT else Temporary
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return judge(phase, error.code, error.message)
    if isinstance(error, TimeoutError):
        return unproved(f"no answer in time at {phase}")
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, _PEER_WENT_AWAY) and phase is not Phase.CONTENT:
        return Misconfigured(f"TLS at {phase}: {cause}")
    return unproved(f"connection lost at {phase}: {cause}")
