"""One SMTP session: opened, encrypted and authenticated once, then one message after another.

What matters here is to know how far a message got. Until the final dot has left, nothing can have been accepted, and
every failure is `Temporary`; from then until the reply nobody can know (RFC 1047), and every failure is `Ambiguous`.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, NoReturn, cast

import aiosmtplib

from outbox.channels.email.smtp_replies import NEGATIVE, POSITIVE, Phase, judge
from outbox.channels.email.smtp_wire import Wire
from outbox.errors import Ambiguous, DeliveryError, Misconfigured, Rejected, Temporary
from outbox.timeouts import Timeouts

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from outbox.channels.email.smtp_settings import Limits, Settings

_MECHANISMS = ("plain", "login", "cram-md5")  # one try only: a wrong password tried three ways locks accounts
_WHOLE = 65_536  # octets; a longer message is seen off to the kernel before its final dot is written
_DRAIN_POLL = 0.01  # seconds
_START_INPUT, _CLOSING = 354, 421
_COMMAND_END = re.compile(rb"[\x00-\x20<>\x7f]")
_PEER_WENT_AWAY = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


class Envelope(NamedTuple):
    """A message ready for the wire: `content` has CRLF line ends and ends with one; `recipient` may need SMTPUTF8."""

    sender: str
    recipient: str
    content: bytes

    def __repr__(self) -> str:
        """Show who writes to whom, but not what."""
        return f"Envelope({self.sender!r}, {self.recipient!r})"


class Stale(Exception):
    """A connection that had served before was found closed, before the server took anything of this message."""


class Connection:
    """An open session. `usable` is False while a message is on its way and after anything that leaves it in doubt."""

    def __init__(self, wire: Wire, limits: Limits, extensions: Container[str]) -> None:
        self._wire = wire
        self._limits = limits
        self._extensions = extensions
        self._busy = False
        self.handled = 0
        """Messages that were sent over it, or refused, the one on its way included."""
        self.idle_since = 0.0
        self.in_doubt = False
        """The final dot has left, and no answer to it has come."""

    @property
    def usable(self) -> bool:
        """Whether another message can go over this connection."""
        return not self._busy and self._wire.in_step

    async def deliver(self, envelope: Envelope) -> str:
        """Send one message and return the words of the server's acceptance.

        Raises:
            Stale: see there; send it over another connection.
            DeliveryError: it was not accepted, or (`Ambiguous`) nobody knows.
        """
        commands = self._commands(envelope)
        self._busy = True
        self.handled += 1
        if "pipelining" in self._extensions:
            await self._together(commands)
        else:
            for phase, command in commands:
                self._say(command, phase)
                if error := await self._refusal(phase):
                    await self._forget(error)
        text = await self._content(envelope.content)
        self._busy = False
        return text

    async def quit(self, limit: float) -> None:
        """Take leave of the server and close; wait at most `limit` seconds for its answer."""
        try:
            self._wire.say(b"QUIT\r\n")
            await self._wire.reply(Timeouts(limit))
        except OSError:  # TimeoutError is one
            pass
        finally:
            self._wire.transport.close()

    def retire(self) -> None:
        """Close at once; say QUIT if the session is in order, but do not wait for an answer."""
        if self.usable:
            self._wire.say(b"QUIT\r\n")
            self._wire.transport.close()
        else:  # close() would keep it open until a stalled server had read it all
            self._wire.transport.abort()

    def _commands(self, envelope: Envelope) -> list[tuple[Phase, bytes]]:
        options = b""
        if "size" in self._extensions:
            options += b" SIZE=%d" % len(envelope.content)  # RFC 1870
        if not envelope.recipient.isascii():
            if "smtputf8" not in self._extensions:
                raise Rejected("the address has non-ASCII characters before the @, and this server has no SMTPUTF8")
            options += b" SMTPUTF8"  # RFC 6531
        sender, recipient = envelope.sender.encode(), envelope.recipient.encode()
        if _COMMAND_END.search(sender + recipient):
            raise Rejected("an address has characters that would end the command it stands in")
        return [
            (Phase.MAIL, b"MAIL FROM:<" + sender + b">" + options + b"\r\n"),
            (Phase.RCPT, b"RCPT TO:<" + recipient + b">\r\n"),
            (Phase.DATA, b"DATA\r\n"),
        ]

    async def _together(self, commands: Sequence[tuple[Phase, bytes]]) -> None:
        """Say all commands at once (RFC 2920); raise what the first refusal means."""
        self._say(b"".join(command for _, command in commands), Phase.MAIL, replies=len(commands))
        refused, error = None, None
        for phase, _ in commands:
            try:
                error = await self._refusal(phase)
            except DeliveryError as lost:
                raise refused or lost from None  # it hung up: if it had refused before, that is why
            refused = refused or error
        if refused is not None:
            if error is None and self._wire.is_open:  # DATA was accepted all the same: an empty message ends it
                self._say(b".\r\n", Phase.DATA)
                await self._refusal(Phase.DATA)
            await self._forget(refused)

    def _say(self, data: bytes, phase: Phase, *, replies: int = 1) -> None:
        try:
            self._wire.say(data, replies=replies)
        except OSError as error:
            raise self._lost(error, phase) from None

    async def _refusal(self, phase: Phase) -> DeliveryError | None:
        """Return what a refusal of this command means; None if it was accepted."""
        try:
            code, text = await self._wire.reply(self._limits.command)
        except OSError as error:
            raise self._lost(error, phase) from None
        if code == _START_INPUT if phase is Phase.DATA else code in POSITIVE:
            return None
        refusal = judge(phase, code, text)
        if code == _CLOSING:
            self._wire.transport.abort()
            if self._is_stale(phase):
                raise Stale
        return refusal

    def _lost(self, error: OSError, phase: Phase) -> Exception:
        """Return what it means that the connection is lost, or silent, before the final dot."""
        meaning = _meaning(error, phase)
        return Stale() if isinstance(meaning, Temporary) and self._is_stale(phase) else meaning

    def _is_stale(self, phase: Phase) -> bool:
        return phase is Phase.MAIL and self.handled > 1

    async def _forget(self, refused: DeliveryError) -> NoReturn:
        """Raise, after the server has forgotten a refused message, so that the connection can take the next one."""
        if refused.code and refused.code[0] in "45" and self._wire.in_step:
            try:
                self._wire.say(b"RSET\r\n")
                code, _ = await self._wire.reply(self._limits.command)
                self._busy = code not in POSITIVE
            except OSError:
                self._wire.transport.abort()
        raise refused

    async def _content(self, content: bytes) -> str:
        """Send the content, dots stuffed (RFC 5321 section 4.5.2), and return the words of a positive reply."""
        if not self._wire.in_step:
            raise Temporary(f"more replies than commands at {Phase.DATA}")
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        try:
            if len(stuffed) > _WHOLE:
                await self._drain(stuffed)
                stuffed = b""
            self._wire.say(stuffed + b".\r\n")
        except OSError as error:
            raise _meaning(error, Phase.DATA) from None
        self.in_doubt = True
        try:
            code, text = await self._wire.reply(self._limits.content)
        except OSError as error:
            raise _meaning(error, Phase.CONTENT) from None
        self.in_doubt = False
        if code in POSITIVE:
            return text
        self._busy = code not in NEGATIVE or code == _CLOSING
        raise judge(Phase.CONTENT, code, text)

    async def _drain(self, data: bytes) -> None:
        """Write and wait until the kernel has it all, so that a loss meanwhile is known to be before the dot."""
        self._wire.say(data, replies=0)
        with self._limits.command:
            while self._wire.transport.get_write_buffer_size():  # noqa: ASYNC110  it is asked for, not told
                await asyncio.sleep(_DRAIN_POLL)


async def connect(settings: Settings, limits: Limits, context: ssl.SSLContext | None, helo_name: str) -> Connection:
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
    transport = cast("asyncio.Transport", client.transport)
    return Connection(Wire(transport), limits, frozenset(client.esmtp_extensions))


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
        raise _meaning(error, phase) from None


def _meaning(error: Exception, phase: Phase) -> DeliveryError:
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
