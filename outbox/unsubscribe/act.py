"""act: somebody unsubscribes by a token, or takes that back, in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import suppressions
from outbox.errors import OutboxError
from outbox.oneclick import read
from outbox.reasons import UNSUBSCRIBED

if TYPE_CHECKING:
    from outbox.messages import OptOut, Removed, Suppressed
    from outbox.oneclick import Keys

SOURCE = "one-click"
"""What a suppression that a token made says of where it comes from."""
_HIDDEN = "•••"
_SHOWN = 3
_LONG = 8


class KeptBack(OutboxError):
    """What keeps the person from being contacted is no `unsubscribed`: roll back, and it stays."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"they are suppressed for another reason: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """What a token did. `created` is False where they were unsubscribed already, or not to be contacted at all.

    `reason` is the one that stands. `ended` notifications waited, and will not be sent; `in_hand` are in a worker's
    hands, and may still be.
    """

    channel: str
    recipient: str
    topic: str
    created: bool
    reason: str
    ended: int
    in_hand: int

    @property
    def masked(self) -> str:
        """The recipient as a page may show them."""
        return masked(self.channel, self.recipient)

    def __repr__(self) -> str:
        """Show what it was about, and not whom."""
        return f"Unsubscribed({self.channel!r}, {self.masked!r}, topic={self.topic!r}, created={self.created})"


def handle(conn: Any, token: str, keys: Keys) -> Unsubscribed:
    """Unsubscribe whom a token is about from what it is about, in the transaction that `conn` is in.

    What waits for them about it ends as `suppressed`. A second time changes nothing.

    Raises:
        InvalidToken, ExpiredToken: as `read`; nothing reached the database.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    opt_out = read(token, keys)
    return _told(opt_out, suppressions.add(conn, **_about(opt_out), reason=UNSUBSCRIBED, source=SOURCE))


async def ahandle(conn: Any, token: str, keys: Keys) -> Unsubscribed:
    """Do as `handle` does, on an asynchronous connection."""
    opt_out = read(token, keys)
    return _told(opt_out, await suppressions.aadd(conn, **_about(opt_out), reason=UNSUBSCRIBED, source=SOURCE))


def resubscribe(conn: Any, token: str, keys: Keys) -> bool:
    """Take back what `handle` did, in the transaction that `conn` is in; return whether there was anything to take.

    For somebody who is known to be the person, or has clicked this moment: the token is in every copy of the email.

    Raises:
        KeptBack: there was, but it was another reason of yours. Roll back.
        InvalidToken, ExpiredToken, NotInTransaction, NotMigrated: as `handle`.
    """
    return _lifted(suppressions.remove(conn, **_about(read(token, keys))))


async def aresubscribe(conn: Any, token: str, keys: Keys) -> bool:
    """Do as `resubscribe` does, on an asynchronous connection."""
    return _lifted(await suppressions.aremove(conn, **_about(read(token, keys))))


def masked(channel: str, recipient: str) -> str:
    """Return a recipient so that they know themselves, and nobody else learns much: `a•••@example.org`."""
    local, at, domain = recipient.rpartition("@")
    if channel == "email" and at:
        return f"{local[:1] if len(local) > 1 else ''}{_HIDDEN}@{domain}"
    return f"{_HIDDEN}{recipient[-_SHOWN:]}" if len(recipient) >= _LONG else _HIDDEN


def _about(opt_out: OptOut) -> dict[str, Any]:
    return {"channel": opt_out.channel, "recipient": opt_out.recipient, "topic": opt_out.topic}


def _told(opt_out: OptOut, added: Suppressed) -> Unsubscribed:
    created = added.new and added.reason == UNSUBSCRIBED
    return Unsubscribed(
        **_about(opt_out), created=created, reason=added.reason, ended=added.ended, in_hand=added.in_hand
    )


def _lifted(removed: Removed) -> bool:
    if removed.reason not in {None, UNSUBSCRIBED}:
        raise KeptBack(str(removed.reason))
    return removed.reason is not None
