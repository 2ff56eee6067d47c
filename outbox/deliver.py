"""deliver: one attempt, from a claimed row to its outcome. If you read one file, read this.

It takes no database connection: consent was read by the claim, and the outcome is written by settle, so a slow provider
can never hold a transaction open.
"""

from __future__ import annotations

import math
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from outbox import errors
from outbox.ask import ask
from outbox.consent import expired, refusal
from outbox.defects import Defect, place
from outbox.events import CodeUnknown, FailedOver, ProviderHeld, ProviderResumed
from outbox.holds import HOLD, told
from outbox.outcomes import Ambiguous, Dead, Deferred, Failure, Outcome
from outbox.quiet import move, put_off
from outbox.retry import defer, judge, wait_for_turn
from outbox.template_events import ComposeFailed

if TYPE_CHECKING:
    from outbox.channels import Completion
    from outbox.lease import Lease
    from outbox.queue.claim import Claimed
    from outbox.route import Route
    from outbox.timetable import Rules

_NOT_ACCEPTED = (errors.Temporary, errors.Throttled, errors.Misconfigured)
"""What proves that a provider did not accept the message, and says nothing of the next one."""
_OF_THE_MESSAGE = (errors.Rejected, errors.Unreachable, errors.Unrecognised)
"""What only a provider that is not down can say, and of one message alone."""


async def deliver(lease: Lease, route: Route) -> Outcome:
    """Attempt to deliver what is in hand: consent, render, send, judge.

    Nothing is attempted before its recipient's rate lets it go, nor in quiet hours, nor once it has expired, nor when
    the lease is over: these two are looked at again right before each provider is asked. What the throttle of its topic
    does not let through has its end already.
    """
    claimed, over_rate = lease.claimed, lease.over_rate
    in_hand = time.monotonic() - lease.claimed_at
    ended = refusal(claimed, in_hand, route.policy)
    if ended is None and claimed.claim > 1:
        ended = _left_in_doubt(claimed, route, claimed.age + in_hand)
    if (ended := ended or lease.kept_back) is not None:
        return ended
    deadline = None if claimed.expires_in is None else lease.claimed_at + claimed.expires_in
    rules = None if route.timetable is None else route.timetable.rules(claimed.topic, claimed.priority)
    if rules is not None:
        waits = _wait_until_open(claimed, deadline, route, rules, over_rate)
    else:
        waits = wait_for_turn(over_rate, route.policy) if over_rate else None
    if waits is not None:
        return waits
    if claimed.age > route.policy.max_age:
        route = _with_patience(claimed, route, rules)
    try:
        message = route.compose(claimed.notification(route.channel))
    except Exception as error:  # noqa: BLE001 - see there
        outcome = _not_rendered(error, claimed, route)
    else:
        if route.completion is not None and route.completion.needed(message):
            outcome = await _complete_and_send(message, lease, deadline, route, completion=route.completion)
        else:
            outcome = await _send(message, lease, deadline, route)
    if rules is None or outcome.delay is None:
        return outcome
    now = route.clock()
    closed = rules.closed(now + timedelta(seconds=outcome.delay), claimed.time_zone)
    return outcome if closed is None else move(outcome, closed, now, _left(deadline), route.chance)


def _wait_until_open(
    claimed: Claimed, deadline: float | None, route: Route, rules: Rules, over_rate: float
) -> Outcome | None:
    """Put off what may not be sent now. The time in which nothing may be brings no turn of its recipient's nearer."""
    now = route.clock()
    if over_rate:
        never = math.isinf(over_rate)
        wait = over_rate if never else rules.wait_open(now, over_rate, claimed.time_zone)
        return wait_for_turn(wait, route.policy)
    closed = rules.closed(now, claimed.time_zone)
    return None if closed is None else put_off(closed, now, _left(deadline), route.chance, claimed.follows_in)


def _with_patience(claimed: Claimed, route: Route, rules: Rules | None) -> Route:
    """Return a route for which it is no older than the time in which it might be sent."""
    most = route.policy.max_age
    kept_back = 0.0 if rules is None else rules.kept_back(route.clock(), claimed.age, most, claimed.time_zone)
    kept_back += route.paused_for(claimed.age)
    return route.with_patience(kept_back) if kept_back else route


def _not_rendered(error: Exception, claimed: Claimed, route: Route) -> Outcome:
    """Judge what went wrong with making the message."""
    if isinstance(error, errors.DeliveryError):
        return judge(error, claimed, route.policy, None, route.chance)
    if isinstance(error, MemoryError):  # it may be the others' doing
        failure = Failure("temporary", None, "there was not enough memory to render it")
        return defer(failure, claimed, route.policy, seconds=HOLD, provider=None, chance=route.chance)
    # A defect in a template or in compose: this content, not the others.
    _tell_of_defect(error, claimed, route)
    return Dead(failure=Failure("rejected", None, f"it could not be rendered: {place(error)}"), reason="rejected")


def _tell_of_defect(error: Exception, claimed: Claimed, route: Route) -> None:
    kind, where = type(error).__name__, place(error)
    route.listener(ComposeFailed(claimed.id, route.channel, claimed.template, kind, where, Defect.of(error)))


def _left(deadline: float | None) -> float | None:
    """Return the seconds until it expires, if it does."""
    return None if deadline is None else deadline - time.monotonic()


def _as_of_now(message: Any, deadline: float) -> Any:
    """Tell a message that has a time to live how much of it is left."""
    if getattr(message, "expires_in", None) is None:
        return message
    return message._replace(expires_in=deadline - time.monotonic())


def _left_in_doubt(claimed: Claimed, route: Route, age: float) -> Outcome | None:
    """Return the end of what may have been accepted, where another copy is worse than none, and one could be."""
    name = claimed.in_doubt
    if name is not None and route.policy_of(claimed.topic).on_ambiguous == "stop" and age >= route.remembers(name):
        words = f"{name} may have accepted it, and would not know it again by now"
    elif claimed.was_lost() and route.is_at_most_once(claimed.topic) and age >= route.remembers_alone():
        words = "a worker vanished with it in hand, and may have sent it"
    else:
        return None
    return Ambiguous(failure=Failure("ambiguous", None, words), reason="in_doubt")


def _only(claimed: Claimed, route: Route) -> str | None:
    """Return the one provider that may be tried, if there is only one: it knows again what it may have accepted."""
    name = claimed.in_doubt
    return name if name is not None and claimed.age < route.remembers(name) else None


def _may_try_any(claimed: Claimed, route: Route) -> bool:
    """Tell whether some provider may be tried now. To look takes no token, and makes nobody the probe."""
    names = route.providers if (only := _only(claimed, route)) is None else (only,)
    return any(route.tokens.may_send(name) and not route.holds.held_for(name) for name in names)


async def _complete_and_send(
    message: Any, lease: Lease, deadline: float | None, route: Route, *, completion: Completion
) -> Outcome:
    """Send what lacks something until it is fetched. What goes wrong with that is no provider's doing.

    Nothing is fetched while no provider may be given it: to fail at that would use up attempts in an outage.
    """
    claimed = lease.claimed
    if _is_past(deadline) or not _may_try_any(claimed, route):
        return _unsent(lease, None, deadline, route)
    async with AsyncExitStack() as sending:
        try:
            whole = await sending.enter_async_context(completion.completed(message))
        except errors.DeliveryError as error:
            return judge(error, claimed, route.policy, None, route.chance)
        except Exception as error:  # noqa: BLE001 - a defect, or too little memory; nothing was sent
            _tell_of_defect(error, claimed, route)
            failed = errors.Temporary(f"it could not be completed: {place(error)}")
            return judge(failed, claimed, route.policy, None, route.chance)
        return await _send(whole, lease, deadline, route)


async def _send(message: Any, lease: Lease, deadline: float | None, route: Route) -> Outcome:
    """Try the providers in order; the next one only after an error which proves that the message was not accepted.

    A send that has begun is not cut off when it expires: that would turn an acceptance into one nobody knows of.
    """
    claimed, holds = lease.claimed, route.holds
    refused: tuple[str, errors.DeliveryError] | None = None
    before: str | None = None
    only = None if claimed.in_doubt is None else _only(claimed, route)
    tokens = route.tokens if route.tokens.any else None
    for name, provider in route.order(claimed.key):
        other = only is not None and name != only
        if other or (tokens is not None and not tokens.may_send(name)) or not holds.may_try(name, claimed.key):
            continue
        if (now := time.monotonic()) >= lease.deadline or (deadline is not None and now >= deadline):
            holds.unasked(name, claimed.key)  # who was frozen since the last look has lost it to somebody else
            break
        if tokens is not None:
            tokens.spend(name, getattr(message, "parts", 1), again=refused is not None)
        if refused is not None:
            route.listener(FailedOver(claimed.id, route.channel, *refused))
            before = _told(before, *refused)
        try:
            given = message if deadline is None else _as_of_now(message, deadline)
            sent = await ask(provider, given, claimed, name, route)
        except errors.DeliveryError as error:
            refused = name, error
            _count(name, claimed, error, route)
            if not isinstance(error, _NOT_ACCEPTED):
                break
        else:
            if holds.accepted(name):
                route.listener(ProviderResumed(route.channel, name))
            return sent if before is None else replace(sent, before=before)
    digests = None if refused is None else getattr(message, "digests", None)
    return replace(_unsent(lease, refused, deadline, route), before=before, digests=digests)


def _told(before: str | None, name: str, error: errors.DeliveryError) -> str:
    """Return what the providers said that are tried no more, as it is recorded beside what the last one says."""
    words = f"{name} said {error}"
    return errors.clean(f"after {words}" if before is None else f"{before}; then {words}")


def _is_past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _count(name: str, claimed: Claimed, error: errors.DeliveryError, route: Route) -> None:
    """Hold the provider, or let it go on, if the error says so."""
    if isinstance(error, errors.Unrecognised):
        route.listener(CodeUnknown(route.channel, name, error))
    if isinstance(error, _OF_THE_MESSAGE):
        if error.code is None:  # then it is ours, and nobody was asked
            route.holds.unasked(name, claimed.key)
        elif route.holds.refused(name):
            route.listener(ProviderResumed(route.channel, name))
        return
    seconds = route.holds.failed(name, claimed.key, error)
    if seconds is not None:
        route.listener(ProviderHeld(route.channel, name, seconds, error))


def _unsent(
    lease: Lease, refused: tuple[str, errors.DeliveryError] | None, deadline: float | None, route: Route
) -> Outcome:
    """Judge the last refusal, if it is one of the message: while every provider is held, nothing else is known."""
    claimed = lease.claimed
    if deadline is not None and _is_past(deadline) and (refused is None or isinstance(refused[1], _NOT_ACCEPTED)):
        before = "before any provider was asked" if refused is None else f"after {refused[0]} said {refused[1]}"
        return expired(time.monotonic() - deadline, before)
    holds, policy, chance = route.holds, route.policy_of(claimed.topic), route.chance
    seconds = holds.closed_for()
    if refused is None:
        if not lease.is_held():
            failure = Failure("temporary", None, "its lease ran out before any provider was asked")
            return Deferred(failure=failure, delay=0.0)
        if (only := _only(claimed, route)) is not None:
            seconds = holds.held_for(only)
        if holds.paused(only):
            which = f"every provider of {route.channel}" if only is None else only
            failure = Failure("paused", None, f"held: {which} is paused")
            return defer(failure, claimed, policy, seconds=seconds, provider=None, chance=chance)
        why = holds.why()
        if why is None:
            failure = Failure("throttled", None, f"the rates of the providers of {route.channel} are used up for now")
            return defer(failure, claimed, policy, seconds=route.tokens.wait(), provider=None, chance=chance)
        words = f"held: no provider of {route.channel} may be tried for now"
        failure = Failure(why.name, None, words)
        return defer(failure, claimed, policy, seconds=seconds, provider=None, chance=chance)
    name, last = refused
    if isinstance(last, errors.Temporary) and not isinstance(last, _OF_THE_MESSAGE) and holds.all_held():
        seconds = max(told(last) or 0.0, seconds)
        return defer(Failure.of(last), claimed, policy, seconds=seconds, provider=name, chance=chance)
    return judge(last, claimed, policy, name, chance, remembered=route.remembers(name))
