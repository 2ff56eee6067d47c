"""quiet: what becomes of an outcome where there are hours in which nothing is sent. Pure, like `outbox.retry`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from outbox.outcomes import Ambiguous, Deferred, Expired, Failure, Outcome

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from outbox.timetable import Closed


def put_off(
    closed: Closed, now: datetime, left: float | None, chance: Random, follows_in: float | None = None
) -> Outcome:
    """Put off to the opening what may not be sent now; no attempt is used. What has expired by then ends at once.

    `left` is how many seconds it has until it expires, if it does; `follows_in` how many until its turn after another
    that waits as well, if it is to follow one.
    """
    wait = (closed.until - now).total_seconds()
    if left is not None and left <= wait:
        return Expired(failure=Failure("expired", None, f"{closed.words}, and it expires before that"))
    if follows_in is not None and follows_in > wait:
        words = f"{closed.words}, and what it is to follow waits as well"
        return Deferred(failure=Failure(closed.by, None, words), delay=follows_in)
    spread = closed.spread if left is None else min(closed.spread, (left - wait) / 2)
    return Deferred(failure=Failure(closed.by, None, closed.words), delay=wait + chance.uniform(0, spread))


def move(outcome: Outcome, closed: Closed, now: datetime, left: float | None, chance: Random) -> Outcome:
    """Move to the opening what would be due again while it is closed, rather than have it claimed for nothing."""
    later = put_off(closed, now, left, chance)
    if later.delay is not None:
        said = outcome.failure
        words = closed.words if said is None else f"{said.detail}; then {closed.words}"
        failure = Failure(closed.by, None, words) if said is None else replace(said, detail=words)
        return replace(outcome, delay=later.delay, failure=failure)
    if isinstance(outcome, Ambiguous):
        return outcome  # that it may have been sent is worth more than that it ends
    return Expired(failure=_both(outcome, later))


def _both(outcome: Outcome, later: Outcome) -> Failure | None:
    """Return why it ends, and what went wrong before."""
    said, ends = outcome.failure, later.failure
    if said is None or ends is None:
        return ends
    who = f"{outcome.provider} said " if outcome.provider else ""
    words = " ".join(part for part in (said.code, said.detail) if part)
    return Failure(ends.error_class, None, f"{who}{words}; {ends.detail}")
