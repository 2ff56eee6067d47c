"""What a drain did: every attempt in order, how it ended, and what still waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.durations import describe

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from outbox.outcomes import Outcome
    from outbox.testing.outgoing import Outgoing


class Attempt(NamedTuple):
    """One attempt to deliver one notification, and its outcome."""

    id: UUID
    channel: str
    recipient: str
    template: str | None
    number: int
    """How many deliveries were tried by then, this one included if it counts."""
    outcome: Outcome
    message: Any
    """What a provider was given, such as an `Email`; None where none was asked."""
    after: timedelta
    """Since the drain began, by its own clock."""

    @property
    def name(self) -> str:
        """The outcome in a word, as in `attempts`: `sent`, `retry`, `dead`, `deferred`, `suppressed`, `expired`."""
        return self.outcome.name

    @property
    def error(self) -> str | None:
        """What went wrong, in the words that are stored, if anything did."""
        failure = self.outcome.failure
        if failure is None:
            return None
        return f"{failure.error_class}: {f'{failure.code}: ' if failure.code else ''}{failure.detail}"

    def __str__(self) -> str:
        """Return it as one line for people."""
        line = f"+{describe(self.after.total_seconds())} {self.channel} to {self.recipient}: {self.name}"
        again = "" if self.outcome.delay is None else f"; again in {describe(self.outcome.delay)}"
        return f"{line}{f' ({self.error})' if self.error else ''}{again}"


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain did. Each attempt is in one of `sent`, `retried`, `failed` and `ended`."""

    attempts: tuple[Attempt, ...]
    waiting: tuple[Outgoing, ...]
    """What has not ended: scheduled for later, to be tried again, or held up."""
    passed_by: int
    """How many others are due on these channels and are not of this transaction; `committed=True` takes them."""

    @property
    def sent(self) -> tuple[Attempt, ...]:
        """Those that a provider accepted."""
        return tuple(each for each in self.attempts if each.name == "sent")

    @property
    def retried(self) -> tuple[Attempt, ...]:
        """Those after which another was, or is, due: failed and to be repeated, or put off."""
        return tuple(each for each in self.attempts if each.outcome.delay is not None)

    @property
    def failed(self) -> tuple[Attempt, ...]:
        """Those that ended in a dead letter."""
        return tuple(each for each in self.attempts if each.outcome.reason is not None)

    @property
    def ended(self) -> tuple[Attempt, ...]:
        """Those that ended without being sent, as they should: suppressed, expired, cancelled."""
        return tuple(
            each
            for each in self.attempts
            if each.name != "sent" and each.outcome.delay is None and each.outcome.reason is None
        )

    @property
    def messages(self) -> list[Any]:
        """The messages that were sent, in order."""
        return [each.message for each in self.sent]

    @property
    def outcomes(self) -> list[str]:
        """The outcomes of all attempts in a word each, in order, such as `["retry", "retry", "sent"]`."""
        return [each.name for each in self.attempts]

    def __str__(self) -> str:
        """Return it as lines for people."""
        lines = [str(each) for each in self.attempts] or ["nothing was due"]
        lines += [f"waits: {each.channel} to {each.recipient} ({each.state})" for each in self.waiting]
        if self.passed_by:
            lines.append(f"{self.passed_by} not of this transaction passed by: committed=True takes them, too")
        return "\n".join(lines)
