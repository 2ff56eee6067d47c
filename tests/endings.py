"""Bringing notifications to their ends as a worker does, from tests that are not coroutines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.outcomes import Dead, Failure
from outbox.queue import attend
from tests import hands

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from outbox.outcomes import Outcome
    from outbox.queue.claim import Claimed

REFUSED = Dead(
    provider="smtp", failure=Failure("rejected", "554 5.6.0", "the content is not acceptable"), reason="rejected"
)


def put(url: str, count: int = 1, outcome: Outcome | None = None, **given: Any) -> list[UUID]:
    """Enqueue so many, and bring what is due there to an end if one is given; return the ids of these, in order."""
    ids = hands.enqueue(url, count, **given)
    if outcome is not None:
        end(url, outcome, channel=given.get("channel", "email"))
    return ids


def put_dead(url: str, count: int = 1, outcome: Outcome = REFUSED, **given: Any) -> list[UUID]:
    """Make so many dead letters; return their ids in order."""
    return put(url, count, outcome, **given)


def end(url: str, outcome: Outcome, *, channel: str = "email") -> list[UUID]:
    """Claim what is due and settle it; return the ids."""
    claimed = claim_due(url, channel=channel)
    settle_as(url, claimed, outcome)
    return [each.id for each in claimed]


def claim_due(
    url: str, *, channel: str = "email", limit: int = 100, lease: float = 30, worker: int = 1
) -> list[Claimed]:
    """Claim what is due."""
    return asyncio.run(hands.claim(url, channel=channel, limit=limit, lease=lease, worker=worker))


def settle_as(url: str, claimed: Sequence[Claimed], outcome: Outcome, *, worker: int = 1) -> list[UUID]:
    """Write down that each ended in this way; return the ids of those that were still this worker's."""
    return [each.id for each in claimed if asyncio.run(hands.settle(url, each, outcome, worker=worker))]


def enter(url: str, *channels: str) -> int:
    """Register a live worker; return its id."""

    async def work() -> int:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            return await attend.enter(conn, channels)

    return asyncio.run(work())
