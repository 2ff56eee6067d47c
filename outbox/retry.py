"""judge: what an error means for the notification. Pure: no clock, no I/O; the random source is handed in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from outbox import errors
from outbox.durations import describe
from outbox.holds import HOLD, LONGEST_TOLD, told
from outbox.outcomes import Ambiguous, Dead, Deferred, Expired, Failure, Outcome, Retry, Suppressed, Suppression
from outbox.reasons import as_reason

if TYPE_CHECKING:
    from random import Random

    from outbox.config import ChannelConfig
    from outbox.outcomes import Surplus
    from outbox.queue.claim import Claimed


def judge(
    error: errors.DeliveryError,
    claimed: Claimed,
    policy: ChannelConfig,
    provider: str | None,
    chance: Random,
    *,
    remembered: float = 0.0,
) -> Outcome:
    """Turn a delivery error into the outcome that its class, the attempts had, and the channel's policy ask for.

    `remembered` is for how many seconds the provider knows a message again by its key, and takes it once only. Without
    a provider, it went wrong before any was asked; what may be tried again uses an attempt all the same, or would be
    for ever.
    """
    failure, tried = Failure.of(error), provider is None
    attempt = claimed.attempt + 1
    match error:
        case errors.Unreachable(sender=sender, because=because):
            suppression = Suppression(as_reason(because), sender)
            return Dead(provider=provider, failure=failure, reason=error.name, suppression=suppression)
        case errors.Rejected():
            return Dead(provider=provider, failure=failure, reason=error.name)
        case errors.Misconfigured():
            return defer(failure, claimed, policy, seconds=HOLD, provider=provider, chance=chance)
        case errors.Throttled() if claimed.age > policy.max_age:
            return Dead(provider=provider, failure=failure, reason="too_old")
        case errors.Throttled():
            # Deliveries did not fail, so it is the claims that came to nothing that set the pace.
            delay = told(error) or backoff(claimed.claim - claimed.attempt, policy, chance)
            return Deferred(provider=provider, failure=failure, delay=delay)
        case errors.Ambiguous():
            delay = backoff(attempt, policy, chance)
            risky = policy.on_ambiguous == "stop" and claimed.age + delay >= remembered
            if risky or attempt >= policy.max_attempts:
                return Ambiguous(provider=provider, failure=failure, reason="in_doubt", tried=tried)
            return Ambiguous(provider=provider, failure=failure, delay=delay, tried=tried)
        case errors.Unrecognised() if f"{provider} {failure.code or ''}" in (claimed.unrecognised or ()):
            return Dead(provider=provider, failure=failure, reason="rejected")
        case _ if attempt >= policy.max_attempts:
            return Dead(provider=provider, failure=failure, reason="exhausted", tried=tried)
        case _:
            delay = max(told(error) or 0.0, backoff(attempt, policy, chance))
            return Retry(provider=provider, failure=failure, delay=delay, tried=tried)


def backoff(attempt: int, policy: ChannelConfig, chance: Random) -> float:
    """Return the seconds to wait after attempt number `attempt` (1, 2, …), spread by ±jitter.

    The last step of the schedule repeats. Jitter keeps what failed together from coming back together.
    """
    step = policy.backoff[min(max(attempt, 1), len(policy.backoff)) - 1]
    return step * (1 + policy.jitter * chance.uniform(-1, 1))


def defer(
    failure: Failure,
    claimed: Claimed,
    policy: ChannelConfig,
    *,
    seconds: float,
    provider: str | None,
    chance: Random,
) -> Outcome:
    """Put off, just past a hold of so many `seconds` and spread out, what nobody can send now; no attempt is used."""
    if claimed.age > policy.max_age:
        return Dead(provider=provider, failure=failure, reason="too_old")
    delay = min(seconds + chance.uniform(0.5, 1 + seconds / 8), LONGEST_TOLD)
    return Deferred(provider=provider, failure=failure, delay=delay)


def wait_for_turn(seconds: float, policy: ChannelConfig) -> Outcome:
    """Put off what its recipient's rate does not let go yet until its turn in so many seconds; no attempt is used."""
    if math.isinf(seconds):
        words = f"over recipient_rate: its turn would come later than max_age, which is {describe(policy.max_age)}"
        return Dead(failure=Failure("throttled", None, words), reason="too_old")
    words = f"over recipient_rate: its turn comes in {describe(seconds)}"
    return Deferred(failure=Failure("throttled", None, words), delay=seconds)


def keep_back(surplus: Surplus, *, expires_in: float | None, in_line: bool) -> Outcome:
    """Return what becomes of what a throttle does not let through; no attempt is used. Who stands in line waits there.

    What would be too late by then expires, at that time if it waits, or else at once.
    """
    rule, wait = f"over the throttle of {surplus.topic}, {surplus.quota}", surplus.wait
    if in_line or surplus.policy == "defer":
        delay = wait if expires_in is None else min(wait, expires_in)
        failure = Failure("throttled", None, f"{rule}: its turn comes in {describe(wait)}")
        return Deferred(failure=failure, delay=delay, surplus=surplus)
    if surplus.policy == "drop":
        failure = Failure("throttled", None, f"{rule}: one would have been let through in {describe(wait)}")
        return Suppressed(failure=failure, surplus=surplus)
    if expires_in is not None and expires_in <= wait:
        words = f"{rule}: it expires in {describe(expires_in)}, and the next could go out in {describe(wait)}"
        return Expired(failure=Failure("throttled", None, words), surplus=surplus)
    return Suppressed(failure=Failure("throttled", None, f"{rule}: it goes out with others, in"), surplus=surplus)
