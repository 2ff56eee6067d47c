"""Every error of the package: those `enqueue` raises, and those a provider raises, named by consequence.

The delivery errors are the six things that an attempt can teach the engine, and one for what nobody has taught it. A
provider maps each code of its own to one of the six; nothing else in the program interprets a provider's codes.
"""

from __future__ import annotations

import asyncio
import difflib
import re
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from outbox.messages import OptOut

_UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
DETAIL_LIMIT = 2_048


def clean(text: str, limit: int = DETAIL_LIMIT) -> str:
    """Return `text` safe to store and to print: no control characters, ANSI or NUL, at most `limit` characters.

    What a provider answers is written by somebody else: PostgreSQL refuses a NUL, and a terminal obeys an escape.
    """
    flat = " ".join(_UNPRINTABLE.sub(" ", text[: limit * 4]).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _hint(name: str, known: Sequence[str]) -> str:
    """Return the end of a sentence about a name that there is not: the one it resembles, or all of them."""
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are {', '.join(known)}" if known else "there is none yet"


class OutboxError(Exception):
    """The base of every error that this package raises on purpose."""


class _Invalid(OutboxError, ValueError):
    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class InvalidNotification(_Invalid):
    """A notification was refused before anything was written: `field` names the argument, `problem` what is wrong."""


class InvalidSuppression(_Invalid):
    """A suppression was refused before anything was written: `field` names the argument, `problem` what is wrong."""


class InvalidPreference(_Invalid):
    """A preference was refused before anything was written: `field` names the argument, `problem` what is wrong."""


class InvalidSchedule(_Invalid):
    """A schedule was refused before anything was written: `field` names the argument, `problem` what is wrong."""


class InvalidPause(_Invalid):
    """A pause was refused before anything was written: `field` names the argument, `problem` what is wrong."""


class InvalidFanOut(_Invalid):
    """What a query was to enqueue was refused before anything was written: `field` names the argument.

    `examples` are the first rows that could be no notification, if it was for these: recipients, and what is wrong.
    They are in no message, for a recipient may be a token.
    """

    def __init__(self, field: str, problem: str, examples: Sequence[tuple[str | None, str]] = ()) -> None:
        super().__init__(field, problem)
        self.examples = tuple(examples)


class UnknownFanOut(OutboxError, LookupError):
    """There is no fan-out of that name; `known` are those that there are."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no fan-out {clean(repr(name), 80)}: {_hint(name, known)}")
        self.name = name
        self.known = tuple(known)


class UnknownSchedule(OutboxError, LookupError):
    """There is no schedule of that name; `known` are those that there are."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no schedule {clean(repr(name), 80)}: {_hint(name, known)}")
        self.name = name
        self.known = tuple(known)


class IdempotencyConflict(OutboxError):
    """The idempotency key was used before, for different content. Nothing was written; the transaction stays usable."""

    def __init__(self, channel: str, key: str, existing_id: UUID, refused_id: UUID) -> None:
        super().__init__(
            f"idempotency key {key!r} on channel {channel!r} already stands for notification {existing_id}, "
            f"which has different content; {refused_id} was not enqueued"
        )
        self.channel = channel
        self.key = key
        self.existing_id = existing_id
        self.refused_id = refused_id


class NotMigrated(OutboxError):
    """The database has no (or an older) `outbox` schema."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("the outbox schema is missing or behind in this database: run `outbox migrate`" + detail)


class NotInTransaction(OutboxError):
    """The connection is in autocommit mode with no transaction open, so the enqueue would not be transactional."""

    def __init__(self) -> None:
        super().__init__(
            "this connection is in autocommit mode and has no open transaction, so the notification would be sent "
            "even if your business write failed: open a transaction, or insist with allow_autocommit=True"
        )


class ConfigError(OutboxError):
    """The configuration is wrong. `problems` lists every mistake that was found, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class InvalidToken(OutboxError, ValueError):
    """The token of a link to unsubscribe was not written by us, or with a secret that is gone, or was changed."""

    def __init__(self) -> None:
        super().__init__("this is not the token of a link of ours")


class ExpiredToken(OutboxError):
    """The token of a link to unsubscribe is ours, and its time is over; `opt_out` is what it was for."""

    def __init__(self, opt_out: OptOut) -> None:
        super().__init__(f"the link was good until {opt_out.last_day.isoformat()}")
        self.opt_out = opt_out


class DeliveryError(OutboxError):
    """One attempt did not end in acceptance.

    `code` is the provider's own (an SMTP reply such as `550 5.1.1`, an HTTP status, an API code); `detail` is what it
    said, cleaned and capped, never the message's body nor a secret.
    """

    name: ClassVar[str] = "temporary"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        self.detail = clean(detail)
        self.code = clean(str(code), 64) if code else None
        super().__init__(f"{self.code}: {self.detail}" if self.code else self.detail)


class Unreachable(DeliveryError):
    """This recipient cannot be reached, permanently: dead letter, and a suppression, so that nobody tries again.

    `sender` is the sender of ours that it is about, if about one only (STOP to a number of ours); `because` is the
    suppression's reason, a word of `outbox.reasons` such as `stop`, or of your own.
    """

    name = "unreachable"

    def __init__(self, detail: str, *, code: str | None = None, sender: str = "", because: str = "hard_bounce") -> None:
        super().__init__(detail, code=code)
        self.sender = sender
        self.because = because


class Rejected(DeliveryError):
    """This content will never be accepted: dead letter; says nothing about the address."""

    name = "rejected"


class Misconfigured(DeliveryError):
    """Our account, sender, credentials or quota: hold the provider and probe; no attempt is used."""

    name = "misconfigured"


class Throttled(DeliveryError):
    """Too fast. Try again after `retry_after` seconds (None: the provider did not say); no attempt is used."""

    name = "throttled"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class Temporary(DeliveryError):
    """Proved not accepted, and worth another attempt after a backoff.

    `retry_after` is the provider's hint in seconds (greylisting), or None.
    """

    name = "temporary"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class Unrecognised(Temporary):
    """A refusal with a code that its provider's table does not have: tried once more, then taken for `Rejected`."""

    name = "unrecognised"


class Ambiguous(DeliveryError):
    """The message may have been accepted: the connection ended after it went out and before the answer came."""

    name = "ambiguous"


class NotSent(asyncio.CancelledError):
    """The send was cancelled, at a stop, and nothing of the message can have been accepted.

    A provider that knows this may raise it in place of the cancellation: any other is ambiguous.
    """
