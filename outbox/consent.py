"""consent: why a claimed notification must not be sent after all, if so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.outcomes import Cancelled, Dead, Expired, Failure, Suppressed

if TYPE_CHECKING:
    from outbox.config import ChannelConfig
    from outbox.outcomes import Outcome
    from outbox.queue.claim import Claimed


def refusal(claimed: Claimed, in_hand: float, policy: ChannelConfig) -> Outcome | None:
    """Return the outcome that ends the notification without an attempt, or None when it may be sent.

    `in_hand` is how many seconds ago it was claimed. Suppressions and conditions were looked up by the claim itself.
    """
    if claimed.sent_by is not None:
        return Suppressed(failure=Failure("suppressed", None, f"it was sent already, by claim {claimed.sent_by}"))
    if claimed.needless is not None:
        return Cancelled(failure=Failure("needless", None, claimed.needless))
    if claimed.lost >= policy.max_lost:
        words = (
            f"claimed {claimed.claim} times, and {claimed.lost} times its worker vanished: it may be what kills them"
        )
        return Dead(failure=Failure("rejected", None, words), reason="poison")
    if claimed.attempt >= policy.max_attempts:  # fewer than before, or one that was settled twice
        words = f"{claimed.attempt} attempts were made, and max_attempts is {policy.max_attempts}"
        return Dead(failure=Failure("temporary", None, words), reason="exhausted")
    if claimed.expires_in is not None and claimed.expires_in <= in_hand:
        return expired(in_hand - claimed.expires_in, "when its turn came")
    if claimed.suppression is not None:
        return Suppressed(failure=Failure("suppressed", None, claimed.suppression))
    return None


def expired(late: float, when: str) -> Expired:
    """Return the end of what is so many seconds too late."""
    return Expired(failure=Failure("expired", None, f"{late:.1f} s past its expires_at {when}"))
