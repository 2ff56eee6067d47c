"""deliver: one attempt, from a claimed row to its outcome. If you read one file, read this.

It takes no database connection: consent was read by the claim, and the outcome is written by settle, so a slow provider
can never hold a transaction open.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
import traceback
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from outbox import errors
from outbox.consent import refusal
from outbox.echo import without_echo
from outbox.errors import clean
from outbox.events import CodeUnknown, CopiesRefused, FailedOver, ProviderFailed, ProviderHeld, ProviderResumed
from outbox.holds import HOLD, Holds, told
from outbox.outcomes import Ambiguous, Dead, Failure, Sent
from outbox.retry import defer, judge
from outbox.timeouts import Timeouts
from outbox.tokens import Bucket, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from outbox.channels import Completion, Provider
    from outbox.config import ChannelConfig, TopicConfig
    from outbox.durations import Rate
    from outbox.events import Listener
    from outbox.messages import Digests, Notification, Receipt
    from outbox.outcomes import Outcome
    from outbox.queue.claim import Claimed

_OF_THE_MESSAGE = (errors.Rejected, errors.Unreachable, errors.Unrecognised)
"""What only a provider that is not down can say, and of one message alone."""


@dataclass(kw_only=True)
class Route:
    """How one channel delivers: how its messages are composed, and its providers in failover order."""

    channel: str
    policy: ChannelConfig
    compose: Callable[[Notification], Any]
    completion: Completion | None = None
    providers: Mapping[str, Provider]
    listener: Listener
    rates: Mapping[str, Rate] = field(default_factory=dict)
    """Those that providers have of their own."""
    transactional: tuple[str, ...] = ()
    """The topics that people get who have unsubscribed."""
    throttles: Mapping[str, TopicConfig] = field(default_factory=dict)
    """The topics that have a throttle."""
    chance: random.Random = field(default_factory=random.Random)
    tokens: Tokens = field(init=False)
    holds: Holds = field(init=False)
    timeouts: Timeouts = field(init=False)
    senders: tuple[str, ...] = field(init=False)
    """Those of our senders that a recipient can refuse by themselves: the `sender` of a provider that has one."""

    def __post_init__(self) -> None:
        each_apart = [name for name, it in self.providers.items() if getattr(it, "fails_by_recipient", False)]
        each_paced = [name for name, it in self.providers.items() if getattr(it, "throttles_by_recipient", False)]
        self.holds = Holds(self.providers, never_down=each_apart, never_paused=each_paced)
        self.timeouts = Timeouts(self.policy.timeout)
        rate = self.policy.rate
        self.tokens = Tokens(
            None if rate is None else Bucket("channel", self.channel, rate),
            {name: Bucket("provider", name, of_it) for name, of_it in self.rates.items()},
        )
        senders = (getattr(provider, "sender", "") for provider in self.providers.values())
        self.senders = tuple(sender for sender in senders if sender)

    def order(self, key: str) -> Iterable[tuple[str, Provider]]:
        """Return the providers in the order to try them: as configured, or by their weights.

        With weights it is a draw, whose result is the same for a message each time: a provider that may have accepted
        it is asked again, and knows it.
        """
        if not self.policy.weights:
            return self.providers.items()
        shares = dict(zip(self.providers, self.policy.weights, strict=True))
        return sorted(self.providers.items(), key=lambda each: _drawn(f"{key} {each[0]}", shares[each[0]]))

    def remembers(self, name: str) -> float:
        """Return for how many seconds a provider knows a message again by its key: its `key_lifetime`, or 0."""
        return float(getattr(self.providers.get(name), "key_lifetime", 0.0))

    async def aclose(self) -> None:
        """Close all connections but the database's."""
        for provider in self.providers.values():
            await provider.aclose()
        if self.completion is not None:
            await self.completion.aclose()


def _drawn(name: str, weight: float) -> float:
    """Return a time that comes first as often as `weight` says (Efraimidis and Spirakis, 2006); 0 never does."""
    drawn = (int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest()) + 1) / 2**56
    return -math.log(drawn) / weight if weight else math.inf


async def deliver(claimed: Claimed, claimed_at: float, route: Route, put_off: Outcome | None = None) -> Outcome:
    """Attempt to deliver what was claimed at `claimed_at` (`time.monotonic()`): consent, render, send, judge.

    Where a rate of its recipient's, or a throttle, does not let it go, `put_off` is what is to become of it.
    """
    in_hand = time.monotonic() - claimed_at
    refused = refusal(claimed, in_hand, route.policy) or _left_in_doubt(claimed, route, claimed.age + in_hand)
    if refused is not None:
        return refused
    if put_off is not None:
        return put_off
    try:
        message = route.compose(_as_of_now(claimed.notification(route.channel), in_hand))
    except errors.DeliveryError as error:
        return judge(error, claimed, route.policy, None, route.chance)
    except MemoryError:  # it may be the others' doing
        failure = Failure("temporary", None, "there was not enough memory to render it")
        return defer(failure, claimed, route.policy, seconds=HOLD, provider=None, chance=route.chance)
    except Exception as error:  # noqa: BLE001 - a defect in a template or in compose: this content, not the others
        return Dead(failure=Failure("rejected", None, f"it could not be rendered: {_place(error)}"), reason="rejected")
    if route.completion is not None and route.completion.needed(message):
        return await _complete_and_send(message, claimed, route, route.completion)
    return await _send(message, claimed, route)


def _as_of_now(notification: Notification, in_hand: float) -> Notification:
    left = notification.expires_in
    return notification if left is None else notification._replace(expires_in=left - in_hand)


def _left_in_doubt(claimed: Claimed, route: Route, age: float) -> Outcome | None:
    """Return the end of what may have been accepted before, where another copy is worse than none, and one could be."""
    name = claimed.in_doubt
    if name is None or route.policy.on_ambiguous == "retry" or age < route.remembers(name):
        return None
    words = f"{name} may have accepted it, and would not know it again by now"
    return Ambiguous(failure=Failure("ambiguous", None, words), reason="in_doubt")


def _only(claimed: Claimed, route: Route) -> str | None:
    """Return the one provider that may be tried, if there is only one: it knows again what it may have accepted."""
    name = claimed.in_doubt
    return name if name is not None and claimed.age < route.remembers(name) else None


def _may_try_any(claimed: Claimed, route: Route) -> bool:
    """Tell whether some provider may be tried now. To look takes no token, and makes nobody the probe."""
    only = _only(claimed, route)
    names = route.providers if only is None else (only,)
    return any(route.tokens.may_send(name) and not route.holds.held_for(name) for name in names)


async def _complete_and_send(message: Any, claimed: Claimed, route: Route, completion: Completion) -> Outcome:
    """Send what lacks something until it is fetched. What goes wrong with that is no provider's doing.

    Nothing is fetched while no provider may be given it: to fail at that would use up attempts in an outage.
    """
    if not _may_try_any(claimed, route):
        return _unsent(claimed, None, route)
    async with AsyncExitStack() as sending:
        try:
            whole = await sending.enter_async_context(completion.completed(message))
        except errors.DeliveryError as error:
            return judge(error, claimed, route.policy, None, route.chance)
        except Exception as error:  # noqa: BLE001 - a defect, or too little memory; nothing was sent
            failed = errors.Temporary(f"it could not be completed: {_place(error)}")
            return judge(failed, claimed, route.policy, None, route.chance)
        return await _send(whole, claimed, route)


async def _send(message: Any, claimed: Claimed, route: Route) -> Outcome:
    """Try the providers in order; the next one only after an error which proves that the message was not accepted."""
    refused: tuple[str, errors.DeliveryError] | None = None
    only = _only(claimed, route)
    tokens = route.tokens if route.tokens.any else None
    for name, provider in route.order(claimed.key):
        if only is not None and name != only:
            continue
        if (tokens is not None and not tokens.may_send(name)) or not route.holds.may_try(name, claimed.key):
            continue
        if tokens is not None:
            tokens.spend(name, getattr(message, "parts", 1), again=refused is not None)
        if refused is not None:
            route.listener(FailedOver(claimed.id, route.channel, *refused))
        try:
            sent = await _attempt(provider, message, claimed, name, route)
        except errors.DeliveryError as error:
            refused = name, error
            _count(name, claimed, error, route)
            if not isinstance(error, (errors.Temporary, errors.Throttled, errors.Misconfigured)):
                break
        else:
            if route.holds.accepted(name):
                route.listener(ProviderResumed(route.channel, name))
            return sent
    unsent = _unsent(claimed, refused, route)
    digests = getattr(message, "digests", None)
    return unsent if digests is None or refused is None else replace(unsent, digests=digests)


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


def _unsent(claimed: Claimed, refused: tuple[str, errors.DeliveryError] | None, route: Route) -> Outcome:
    """Judge the last refusal, if it is one of the message: while every provider is held, nothing else is known."""
    holds, policy, chance = route.holds, route.policy, route.chance
    seconds = holds.closed_for()
    if refused is None:
        if (only := _only(claimed, route)) is not None:
            seconds = holds.held_for(only)
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


def _sent(name: str, receipt: Receipt, digests: Digests | None) -> Sent:
    identity = receipt.provider_message_id
    if receipt.inbox is not None:
        return Sent(provider=name, inbox=receipt.inbox, digests=digests)
    if digests is not None:
        known = clean(str(identity), 255) if identity else None
        return Sent(provider=name, provider_message_id=known, digests=digests)
    return Sent(provider=name, provider_message_id=clean(str(identity), 255)) if identity else _sent_without_id(name)


@cache
def _sent_without_id(name: str) -> Sent:
    """Return one value for all that a provider accepts without an id of its own: making each takes a microsecond."""
    return Sent(provider=name)


async def _attempt(provider: Provider, message: Any, claimed: Claimed, name: str, route: Route) -> Sent:
    """Send once. What is not a delivery error is a defect, after which nobody can know whether it went out."""
    try:
        with route.timeouts:
            receipt = await provider.send(message, claimed.key)
        if receipt.refused_copies:
            codes = tuple(clean(str(code), 64) for code in receipt.refused_copies)
            route.listener(CopiesRefused(claimed.id, route.channel, name, codes))
        return _sent(name, receipt, getattr(message, "digests", None))
    except errors.DeliveryError as error:
        if (detail := without_echo(error.detail, message)) != error.detail:
            error.detail = detail
            error.args = (f"{error.code}: {detail}" if error.code else detail,)
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody asked us to stop: something that the provider's sends share was cancelled by one of them.
        raise _defect(error, name, route) from None
    except TimeoutError as error:
        meaning = errors.Temporary if isinstance(error.__cause__, errors.NotSent) else errors.Ambiguous
        raise meaning(f"no answer within {route.policy.timeout:g} s") from None
    except Exception as error:  # noqa: BLE001 - a defect of one provider must not stop the worker
        raise _defect(error, name, route) from None


def _defect(error: BaseException, name: str, route: Route) -> errors.Ambiguous:
    """Tell of a defect in a provider's module, and return what it means for the message."""
    route.listener(ProviderFailed(route.channel, name, type(error).__name__, _place(error)))
    return errors.Ambiguous(f"the provider's module failed: {_place(error)}")


def _place(error: BaseException) -> str:
    """Return a defect's type and place, not its words: they may quote the message."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
