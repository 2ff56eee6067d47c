"""allowance: how many may be claimed where there is a rate: tokens of the fleet's buckets, taken some at a time."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from outbox.queue.limit import take
from outbox.routine_events import RateWaited

if TYPE_CHECKING:
    from collections.abc import Iterable

    from outbox.database import Link
    from outbox.route import Route
    from outbox.tokens import Bucket

_SHORTEST_SLEEP = 0.05  # not for the first token alone, or each would cost a statement
_LONGEST_SLEEP = 1.0  # between two looks: another worker may be gone, or the rate another


class Allowance:
    """One channel's. Tokens that are not used stay for the next claim; those of a worker that ends are lost."""

    def __init__(self, link: Link, route: Route) -> None:
        self._link = link
        self._route = route
        self._topped_up_at = -math.inf

    async def of(self, room: int) -> int:
        """Return how many of `room` may be claimed: at least one, for which it waits."""
        tokens, holds = self._route.tokens, self._route.holds
        if not tokens.any:
            return room
        slept = 0.0
        while True:
            # Those that are held bound nothing: what was claimed for their tokens could not be sent.
            usable = holds.usable()
            bounds = tokens.bounds(usable)
            if count := tokens.claimable(room, bounds):
                await self._top_up(tokens.beside(usable), count)
                if slept:
                    self._route.listener(RateWaited(self._route.channel, slept))
                return count
            waits = [await self._fill(bucket, room) for bucket in bounds if bucket.left < min(room, bucket.burst)]
            if not tokens.claimable(room, bounds):
                wait = min((wait for wait in waits if wait > 0), default=0.0)
                began = time.monotonic()
                await asyncio.sleep(min(max(wait, _SHORTEST_SLEEP), _LONGEST_SLEEP))
                slept += time.monotonic() - began

    async def _top_up(self, buckets: Iterable[Bucket], room: int) -> None:
        """Take, now and then, what there is for providers that need not have any: the next in order has no rate."""
        now = time.monotonic()
        if now < self._topped_up_at + _SHORTEST_SLEEP:
            return
        for bucket in buckets:
            if bucket.left < min(room, bucket.burst):
                self._topped_up_at = now
                while not await self._fill(bucket, room) and bucket.left < 1:
                    pass  # the bucket was made this moment, or there is a debt

    async def _fill(self, bucket: Bucket, room: int) -> float:
        """Take what is missing, as far as it is there; return after how many seconds there is more."""
        missing = min(room, bucket.burst) - math.floor(bucket.left)
        granted = await self._link.run(
            lambda conn: take(
                conn,
                scope=bucket.scope,
                name=bucket.name,
                per_second=bucket.rate.per_second,
                burst=bucket.burst,
                want=missing,
            )
        )
        bucket.left += granted.tokens
        return 0.0 if granted.tokens else granted.wait
