"""route: how one channel delivers: its policy, its providers in failover order, and what it knows of them meanwhile."""

from __future__ import annotations

import copy
import hashlib
import math
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from outbox.config.consent import policies
from outbox.holds import Holds
from outbox.timeouts import Timeouts
from outbox.timetable import Timetable
from outbox.tokens import Bucket, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from outbox.channels import Completion, Provider
    from outbox.config import ChannelConfig, TopicConfig
    from outbox.durations import Rate
    from outbox.events import Listener
    from outbox.messages import Notification


def _now() -> datetime:
    return datetime.now(UTC)


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
    topics: Mapping[str, TopicConfig] = field(default_factory=dict)
    """What is configured of topics: when what has one of them may be sent, how often, and what is done in doubt."""
    clock: Callable[[], datetime] = _now
    """Tells the time, in UTC: for hours of the day alone."""
    tells_recipients: bool = False
    """Whether its events say, masked, whom they are about."""
    chance: random.Random = field(default_factory=random.Random)
    policies: Mapping[str, ChannelConfig] = field(init=False)
    """Under the topics that say themselves what is done in doubt."""
    tokens: Tokens = field(init=False)
    holds: Holds = field(init=False)
    timeouts: Timeouts = field(init=False)
    timetable: Timetable | None = field(init=False)
    """When something may be sent, if there are hours in which it may not."""
    throttles: Mapping[str, TopicConfig] = field(init=False)
    """The topics that have a throttle."""
    stood_still: Sequence[tuple[float, float]] = field(init=False, default=())
    """From when to when it was paused, each time, by `time.monotonic()`."""
    senders: tuple[str, ...] = field(init=False)
    """Those of our senders that a recipient can refuse by themselves: the `sender` of a provider that has one."""

    def __post_init__(self) -> None:
        self.throttles = {name: topic for name, topic in self.topics.items() if topic.throttle is not None}
        each_apart = [name for name, it in self.providers.items() if getattr(it, "fails_by_recipient", False)]
        each_paced = [name for name, it in self.providers.items() if getattr(it, "throttles_by_recipient", False)]
        self.holds = Holds(self.providers, never_down=each_apart, never_paused=each_paced)
        self.timeouts = Timeouts(self.policy.timeout)
        self.policies = policies(self.policy, self.topics)
        timetable = Timetable(self.channel, self.policy, self.topics)
        self.timetable = timetable if timetable.any else None
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

    def policy_of(self, topic: str | None) -> ChannelConfig:
        """Return the policy for what is about a topic: the channel's, but for what the topic itself says of doubt."""
        return self.policies.get(topic or "", self.policy)

    def remembers(self, name: str) -> float:
        """Return for how many seconds a provider knows a message again by its key: its `key_lifetime`, or 0."""
        return float(getattr(self.providers.get(name), "key_lifetime", 0.0))

    def remembers_alone(self) -> float:
        """Return the same of the one provider there is; of several, another may be asked, which knows nothing."""
        return self.remembers(next(iter(self.providers))) if len(self.providers) == 1 else 0.0

    def is_at_most_once(self, topic: str | None) -> bool:
        """Tell whether what is about a topic is not to be sent again while it may have been."""
        configured = self.topics.get(topic or "")
        return configured is not None and configured.delivery == "at_most_once"

    def with_patience(self, seconds: float) -> Self:
        """Return the same route, whose `max_age` is so much longer. What it knows of its providers is shared."""
        patient = copy.copy(self)
        patient.policy = self.policy.model_copy(update={"max_age": self.policy.max_age + seconds})
        patient.policies = policies(patient.policy, self.topics)
        return patient

    def paused_for(self, age: float) -> float:
        """Return for how many of the last `age` seconds it was paused."""
        now = time.monotonic()
        return sum(max(min(ended, now) - max(began, now - age), 0.0) for began, ended in self.stood_still)

    def told_to(self, listener: Listener) -> Self:
        """Return the same route, whose events go to `listener`. What it knows of its providers is shared."""
        other = copy.copy(self)
        other.listener = listener
        return other

    async def aclose(self) -> None:
        """Close all connections but the database's."""
        for provider in self.providers.values():
            await provider.aclose()
        if self.completion is not None:
            await self.completion.aclose()


def providers_of(routes: Iterable[Route]) -> list[str]:
    """Return the providers of several channels, each once."""
    return list(dict.fromkeys(name for route in routes for name in route.providers))


def _drawn(name: str, weight: float) -> float:
    """Return a time that comes first as often as `weight` says (Efraimidis and Spirakis, 2006); 0 never does."""
    drawn = (int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest()) + 1) / 2**56
    return -math.log(drawn) / weight if weight else math.inf
