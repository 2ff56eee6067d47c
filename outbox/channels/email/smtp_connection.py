"""One SMTP session, which `smtp_opening` opened: one message after another.

What matters here is to know how far a message got. Until the final dot has left, nothing can have been accepted, and
every failure is `Temporary`; from then until the reply nobody can know (RFC 1047), and every failure is `Ambiguous`.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from outbox.channels.email.smtp_opening import meaning
from outbox.channels.email.smtp_replies import NEGATIVE, POSITIVE, Phase, judge, whole_code
from outbox.errors import DeliveryError, Rejected, Temporary
from outbox.timeouts import Timeouts

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from outbox.channels.email.smtp_settings import Limits
    from outbox.channels.email.smtp_wire import Wire

_WHOLE = 65_536  # octets; a longer message is seen off before its final dot is written
_DRAIN_POLL = 0.01  # seconds
_DATA = (Phase.DATA, b"DATA\r\n")
_START_INPUT, _CLOSING = 354, 421
_COMMAND_END = re.compile(rb"[\x00-\x20<>\x7f]")


class Envelope(NamedTuple):
    """A message ready for the wire: `content` has CRLF line ends and ends with one; `recipient` may need SMTPUTF8.

    `copies` are further recipients of it, each of whom may be refused. With `own_sender`, `sender` is this message's
    alone, and not that of all others.
    """

    sender: str
    recipient: str
    content: bytes
    copies: tuple[str, ...] = ()
    own_sender: bool = False

    def __repr__(self) -> str:
        """Show who writes to whom, but not what."""
        return f"Envelope({self.sender!r}, {self.recipient!r})"


class Acceptance(NamedTuple):
    """The server took a message: with these `words`, and without those copies for whose refusals the codes stand."""

    words: str
    refused_copies: tuple[str, ...] = ()


class Stale(Exception):
    """A connection that had served before was found closed, before the server took anything of this message."""


class Connection:
    """An open session. `usable` is False while a message is on its way and after anything that leaves it in doubt."""

    def __init__(self, wire: Wire, limits: Limits, extensions: Container[str]) -> None:
        self._wire = wire
        self._limits = limits
        self._extensions = extensions
        self._busy = False
        self._own_sender = self._several = False
        self._refused_copies: tuple[str, ...] = ()
        self.handled = 0
        """Messages that were sent over it, or refused, the one on its way included."""
        self.idle_since = 0.0
        self.in_doubt = False
        """The final dot has left, and no answer to it has come."""

    @property
    def usable(self) -> bool:
        """Whether another message can go over this connection."""
        return not self._busy and self._wire.in_step

    async def deliver(self, envelope: Envelope) -> Acceptance:
        """Send one message and return the server's acceptance.

        Raises:
            Stale: see there; send it over another connection.
            DeliveryError: it was not accepted, or (`Ambiguous`) nobody knows.
        """
        commands = self._commands(envelope)
        self._busy = True
        self._own_sender, self._several, self._refused_copies = envelope.own_sender, bool(envelope.copies), ()
        self.handled += 1
        if "pipelining" not in self._extensions:
            await self._one_by_one([*commands, _DATA])
        elif envelope.copies:
            # DATA waits: a server that refused the recipient might take it for the copies, who would get something.
            await self._together(commands)
            await self._one_by_one([_DATA])
        else:
            await self._together([*commands, _DATA])
        words = await self._content(envelope.content)
        self._busy = False
        return Acceptance(words, self._refused_copies)

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
        sender = envelope.sender.encode()
        recipient, *copies = (address.encode() for address in (envelope.recipient, *envelope.copies))
        if _COMMAND_END.search(b"".join([sender, recipient, *copies])):
            raise Rejected("an address has characters that would end the command it stands in")
        return [
            (Phase.MAIL, b"MAIL FROM:<" + sender + b">" + options + b"\r\n"),
            (Phase.RCPT, b"RCPT TO:<" + recipient + b">\r\n"),
            *((Phase.COPY, b"RCPT TO:<" + copy + b">\r\n") for copy in copies),
        ]

    async def _one_by_one(self, commands: Sequence[tuple[Phase, bytes]]) -> None:
        for phase, command in commands:
            self._say(command, phase)
            if error := await self._refusal(phase):
                await self._forget(error)

    async def _together(self, commands: Sequence[tuple[Phase, bytes]]) -> None:
        """Say all commands at once (RFC 2920); raise what the first refusal means."""
        self._say(b"".join([command for _, command in commands]), Phase.MAIL, replies=len(commands))
        refused, error = None, None
        for phase, _ in commands:
            try:
                error = await self._refusal(phase)
            except DeliveryError as lost:
                raise refused or lost from None  # it hung up: if it had refused before, that is why
            refused = refused or error
        if refused is not None:
            if (
                commands[-1] is _DATA and error is None and self._wire.is_open
            ):  # it was accepted all the same: an empty message ends it
                self._say(b".\r\n", Phase.DATA)
                await self._refusal(Phase.DATA)
            await self._forget(refused)

    def _say(self, data: bytes, phase: Phase, *, replies: int = 1) -> None:
        try:
            self._wire.say(data, replies=replies)
        except OSError as error:
            raise self._lost(error, phase) from None

    async def _refusal(self, phase: Phase) -> DeliveryError | None:
        """Return what a refusal of this command means; None if it was accepted, or is of a copy: it is left out."""
        try:
            code, text = await self._wire.reply(self._limits.command)
        except OSError as error:
            raise self._lost(error, phase) from None
        if code == _START_INPUT if phase is Phase.DATA else code in POSITIVE:
            return None
        if phase is Phase.COPY and code in NEGATIVE and code != _CLOSING:
            self._refused_copies += (whole_code(code, text),)
            return None
        refusal = judge(phase, code, text, own_sender=self._own_sender, several=self._several)
        if code == _CLOSING:
            self._wire.transport.abort()
            if self._is_stale(phase):
                raise Stale
        return refusal

    def _lost(self, error: OSError, phase: Phase) -> Exception:
        """Return what it means that the connection is lost, or silent, before the final dot."""
        lost = meaning(error, phase)
        return Stale() if isinstance(lost, Temporary) and self._is_stale(phase) else lost

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
            raise meaning(error, Phase.DATA) from None
        self.in_doubt = True
        try:
            code, text = await self._wire.reply(self._limits.content)
        except OSError as error:
            raise meaning(error, Phase.CONTENT) from None
        self.in_doubt = False
        if code in POSITIVE:
            return text
        self._busy = code not in NEGATIVE or code == _CLOSING
        raise judge(Phase.CONTENT, code, text, own_sender=self._own_sender, several=self._several)

    async def _drain(self, data: bytes) -> None:
        """Write and wait until the kernel has it all, so that a loss meanwhile is known to be before the dot.

        That holds without TLS. With it, asyncio counts only what is not encrypted and handed on yet, and what the
        transport beneath still holds passes for gone: a loss meanwhile is then in doubt, though the dot never left.
        """
        self._wire.say(data, replies=0)
        await self._limits.command.within(self._seen_off())

    async def _seen_off(self) -> None:
        while self._wire.transport.get_write_buffer_size():  # noqa: ASYNC110  it is asked for, not told
            await asyncio.sleep(_DRAIN_POLL)
