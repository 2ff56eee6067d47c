"""allowance: what a channel's rate lets this worker claim: tokens of the fleet's bucket, taken some at a time."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from outbox.queue.limit import Granted, take

if TYPE_CHECKING:
    from outbox.database import Link
    from outbox.durations import Rate

_AHEAD = 0.1  # seconds: what one worker takes at once is a tenth of what may be sent in a second
_LONGEST_SLEEP = 1.0  # between two looks: another worker may be gone, or the rate another


class Allowance:
    """One channel's. Tokens that are not used stay for the next claim; those of a worker that ends are lost."""

    def __init__(self, link: Link, channel: str, rate: Rate | None) -> None:
        self._link = link
        self._channel = channel
        self._rate = rate
        self._left = 0

    async def of(self, room: int) -> int:
        """Return how many of `room` may be claimed: at least one, for which it waits."""
        if self._rate is None:
            return room
        while not self._left:
            granted = await self._take(room, self._rate)
            self._left = granted.tokens
            if not granted.tokens:
                # Not for the first token alone, or each would cost a statement.
                await asyncio.sleep(min(max(granted.wait, _AHEAD / 2), _LONGEST_SLEEP))
        return min(room, self._left)

    def used(self, count: int) -> None:
        """Note how many were claimed."""
        self._left = max(self._left - count, 0)

    async def _take(self, room: int, rate: Rate) -> Granted:
        some = max(math.ceil(rate.per_second * _AHEAD), 1)
        return await self._link.run(
            lambda conn: take(
                conn,
                scope="channel",
                name=self._channel,
                per_second=rate.per_second,
                burst=some,
                want=min(room, some),
            )
        )
