"""Claiming and settling by hand, one transition at a time."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import psycopg

import outbox
from outbox.lease import Lease
from outbox.outcomes import Failure
from outbox.queue.claim import claim as claim_statement
from outbox.queue.settle import settle as settle_statement
from outbox.queue.settlement import Settlement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from outbox.outcomes import Outcome
    from outbox.queue.claim import Claimed

EVERY_LEVEL = tuple(range(10))
TROUBLE = Failure("temporary", "451 4.3.0", "try later")
WAITING = """
SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()
"""
"""What a session of this database waits for a lock by; those of other tests are none of its business."""


def enqueue(url: str, count: int = 1, **given: Any) -> list[UUID]:
    """Commit `count` notifications; returns their ids in order."""
    arguments = {"channel": "email", "payload": {"subject": "Hello", "text": "Hi"}} | given
    with psycopg.connect(url) as conn:
        drafts = [{"recipient": f"user{number}@example.org"} | arguments for number in range(count)]
        return [result.id for result in outbox.enqueue_many(conn, drafts)]


async def claim(
    url: str,
    *,
    limit: int = 10,
    worker: int = 1,
    lease: float = 30,
    channel: str = "email",
    levels: Sequence[int] = EVERY_LEVEL,
    suspects: bool = True,
    senders: Sequence[str] = (),
) -> list[Claimed]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        return await claim_statement(
            conn,
            channel=channel,
            levels=levels,
            limit=limit,
            lease=lease,
            worker=worker,
            suspects=suspects,
            senders=senders,
        )


def leased(claimed: Claimed, *, ago: float = 0.0, over_rate: float = 0.0) -> Lease:
    """Return the lease of what was claimed so many seconds ago, which does not run out."""
    return Lease(claimed, time.monotonic() - ago, math.inf, over_rate=over_rate)


async def settle(url: str, claimed: Claimed, outcome: Outcome, *, worker: int = 1) -> bool:
    """Settle one claim; returns whether it was still ours."""
    now = time.monotonic()
    settlement = Settlement(claimed.key, claimed.claim, claimed.attempt, outcome, now - 0.2, now)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        settled, _ = await settle_statement(conn, [settlement], worker=worker)
        return claimed.key in settled


def rows(url: str, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run a query of the test's own, committed."""
    with psycopg.connect(url) as conn:
        cursor = conn.execute(sql.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def expire_leases(url: str) -> None:
    """Let every lease run out now."""
    rows(url, "UPDATE outbox.queue SET leased_until = clock_timestamp() - interval '1 ms' WHERE worker IS NOT NULL")
