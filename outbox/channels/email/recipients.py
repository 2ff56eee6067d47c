"""Whom one message goes to: its recipient, and whoever gets a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from outbox.channels.email import headers

if TYPE_CHECKING:
    from outbox.messages import Email


class Recipients(NamedTuple):
    """Addresses as the wire wants them, all but that of `to` in ASCII; none comes twice.

    Those of `bcc` stand in no header.
    """

    to: str
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()

    @property
    def copies(self) -> tuple[str, ...]:
        """All but the recipient."""
        return self.cc + self.bcc


def recipients_of(message: Email) -> Recipients:
    """Return whom a message goes to; who is named in several places, in the first of them: there are APIs that insist.

    Raises:
        Rejected: one is no mailbox, or no plain one where it gets a copy; says where, and never repeats it.
    """
    to = headers.recipient(message.recipient)
    if not message.cc and not message.bcc:
        return Recipients(to)
    seen = {to.lower()}
    return Recipients(to, _further("cc", message.cc, seen), _further("bcc", message.bcc, seen))


def _further(field: str, addresses: tuple[str, ...], seen: set[str]) -> tuple[str, ...]:
    found = []
    for address in addresses:
        wire = headers.copied(address, field)
        if wire.lower() not in seen:
            seen.add(wire.lower())
            found.append(wire)
    return tuple(found)
