"""tokens: what this worker may send where there is a rate, of what it took from the fleet's buckets.

Tokens are taken before notifications are claimed, so that what must wait does so in the queue, leased to nobody. Which
provider a message goes through is known when it is sent. So as many are claimed as all of them have tokens for, and
each takes one of the provider that it goes through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from outbox.durations import Rate

_NONE: Mapping[str, Bucket] = MappingProxyType({})
_AHEAD = 0.1  # seconds: what one worker takes at once is a tenth of what may be sent in a second


@dataclass(slots=True)
class Bucket:
    """This worker's part of a bucket in `outbox.limits`.

    `left` goes below nothing when a message costs more than the one token that lets it pass: the rest is owed, and the
    next ones wait for it.
    """

    scope: str
    name: str
    rate: Rate
    left: float = 0.0

    @property
    def burst(self) -> int:
        """The tokens that the fleet's bucket holds, and the most that are taken at once."""
        return max(math.ceil(self.rate.per_second * _AHEAD), 1)


class Tokens:
    """One channel's: of its own rate, and of those of its `providers` that have one."""

    def __init__(self, channel: Bucket | None = None, providers: Mapping[str, Bucket] = _NONE) -> None:
        self._channel = channel
        self._providers = providers
        self.any = channel is not None or bool(providers)
        """Whether there is a rate at all."""
        self.promised = 0
        """How many were claimed whose delivery has not begun: each of them will want a token."""

    def bounds(self, names: Collection[str]) -> list[Bucket]:
        """Return what bounds the claim while the providers `names` can be used: theirs only if all of them have one."""
        of_providers = [self._providers[name] for name in names if name in self._providers]
        return [
            *([self._channel] if self._channel is not None else ()),
            *(of_providers if len(of_providers) == len(names) else ()),
        ]

    def beside(self, names: Collection[str]) -> list[Bucket]:
        """Return the buckets of the providers `names` where they do not bound the claim, for one of these has none."""
        of_providers = [self._providers[name] for name in names if name in self._providers]
        return of_providers if len(of_providers) < len(names) else []

    def claimable(self, room: int, bounds: Sequence[Bucket]) -> int:
        """Return how many of `room` there are tokens for."""
        of_providers = [bucket for bucket in bounds if bucket is not self._channel]
        if self._channel is not None:
            room = min(room, math.floor(self._channel.left))
        if of_providers:
            room = min(room, sum(max(math.floor(bucket.left), 0) for bucket in of_providers) - self.promised)
        return max(room, 0)

    def claimed(self, count: int, *, to_send: int) -> None:
        """Take the channel's token for each notification that was claimed; `to_send` of them will want a provider's."""
        self.promised += to_send
        if self._channel is not None:
            self._channel.left -= count

    def may_send(self, name: str) -> bool:
        """Tell whether there is a token left to send through a provider."""
        bucket = self._providers.get(name)
        return bucket is None or bucket.left >= 1

    def spend(self, name: str, cost: int, *, again: bool) -> None:
        """Take what a message costs. Of the channel's, one was taken by the claim; the rest once for each delivery."""
        bucket = self._providers.get(name)
        if bucket is not None:
            bucket.left -= cost
        if self._channel is not None and not again:
            self._channel.left -= cost - 1

    def wait(self) -> float:
        """Return the seconds after which some provider has a token again, as far as its rate tells."""
        return min(((1 - each.left) / each.rate.per_second for each in self._providers.values()), default=0.0)
