"""What people answer to a number or an address of ours, as far as it says whether they want more.

`outbox` receives nothing by itself: whoever does (the webhook of an SMS provider, a program that reads a mailbox) calls
these in a transaction. Each function has an asynchronous twin whose name begins with an a.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from outbox import suppressions
from outbox.errors import InvalidToken
from outbox.queue.entry import Key
from outbox.queue.unsuppress import alift, lift
from outbox.reasons import COMPLAINT, HARD_BOUNCE, MANUAL, STOP
from outbox.unsubscribe.act import ahandle, handle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.messages import Removed, Suppressed
    from outbox.oneclick import Keys
    from outbox.unsubscribe.act import Unsubscribed

__all__ = ["KEYWORDS", "Answered", "amail", "areply", "keyword", "mail", "reply"]

Keyword = Literal["stop", "start", "help"]

# CTIA's Messaging Principles and Best Practices, section 5.1.3, and what carriers and providers heed besides:
# https://help.twilio.com/articles/223134027-Twilio-support-for-opt-out-keywords-SMS-STOP-filtering-
KEYWORDS: Mapping[str, Keyword] = {
    **dict.fromkeys(("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"), "stop"),
    **dict.fromkeys(("start", "yes", "unstop"), "start"),
    **dict.fromkeys(("help", "info"), "help"),
}
_SOURCE = "reply"
# What a person cannot take back by a START: somebody else has said it.
_NOT_THEIRS = (HARD_BOUNCE, COMPLAINT, MANUAL)
_NO_LETTERS = re.compile(r"[\W\d_]+")
_IN_A_SUBJECT = re.compile(r"\bunsubscribe\s+([A-Za-z0-9_-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answered:
    """What an answer meant, and what it did.

    After a `stop`, `ended` notifications waited, and will not be sent; `in_hand` are in a worker's hands, and may still
    be. `kept` are the reasons for which the person still is not contacted after a `start`. `changed` is False where
    nothing is different from before: a second `stop`, a `help`, or an answer that is no keyword.
    """

    keyword: Keyword | None
    changed: bool = False
    ended: int = 0
    in_hand: int = 0
    kept: tuple[str, ...] = ()


def keyword(text: str) -> Keyword | None:
    """Return what an answer means if it is a keyword and nothing else; case, spaces and punctuation are no matter."""
    return KEYWORDS.get(_NO_LETTERS.sub("", text).lower())


def reply(conn: Any, *, recipient: str, text: str, sender: str | None = None, channel: str = "sms") -> Answered:
    """Heed what somebody answered to a message of ours, in the transaction that `conn` is in.

    A STOP adds a suppression with the reason `stop`, and ends what waits; a START takes it back.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        recipient: who answered, as messages to them are enqueued.
        text: what they wrote.
        sender: the number of ours that they wrote to; a STOP is then about that one alone. None: about all.
        channel: the channel of their messages.

    Raises:
        InvalidSuppression: the recipient, the sender or the channel is none.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    what = keyword(text)
    key = Key.of(channel, recipient, None, sender)
    if what == "stop":
        return _stopped(suppressions.add(conn, **_about(key), reason=STOP, source=_SOURCE))
    return _started(lift(conn, key, spared=_NOT_THEIRS)) if what == "start" else Answered(what)


async def areply(conn: Any, *, recipient: str, text: str, sender: str | None = None, channel: str = "sms") -> Answered:
    """Do as `reply` does, on an asynchronous connection."""
    what = keyword(text)
    key = Key.of(channel, recipient, None, sender)
    if what == "stop":
        return _stopped(await suppressions.aadd(conn, **_about(key), reason=STOP, source=_SOURCE))
    return _started(await alift(conn, key, spared=_NOT_THEIRS)) if what == "start" else Answered(what)


def mail(conn: Any, subject: str | None, keys: Keys) -> Unsubscribed:
    """Unsubscribe who sent a mail to the address of `unsubscribe.mailto`, in the transaction that `conn` is in.

    Who that is, and from what, the token says that mail programs put into the `subject`: its sender proves nothing.
    None is that of a mail without one.

    Raises:
        InvalidToken, ExpiredToken: there is no token in the subject, or it is not one of ours, or too old.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    return handle(conn, _token_in(subject), keys)


async def amail(conn: Any, subject: str | None, keys: Keys) -> Unsubscribed:
    """Do as `mail` does, on an asynchronous connection."""
    return await ahandle(conn, _token_in(subject), keys)


def _token_in(subject: str | None) -> str:
    if (found := _IN_A_SUBJECT.search(subject or "")) is None:
        raise InvalidToken
    return found[1]


def _about(key: Key) -> dict[str, Any]:
    return {"channel": key.channel, "recipient": key.recipient, "sender": key.sender}


def _stopped(added: Suppressed) -> Answered:
    return Answered("stop", added.new, added.ended, added.in_hand)


def _started(removed: Removed) -> Answered:
    return Answered("start", removed.reason is not None, kept=removed.kept)
