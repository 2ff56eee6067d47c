"""limit: take tokens from a bucket that all workers share, so that a rate holds for the whole fleet.

A bucket fills by `per_second` up to `burst`; who takes from it holds its row for one short statement, and takes many at
a time, so that the row is no hot spot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from psycopg import AsyncConnection

# The row is made by whoever comes first, and seen by the next: this once nothing comes back. Times are the database's.
TAKE = """
WITH made AS (
    INSERT INTO outbox.limits (scope, name, per_second, burst, tokens)
    VALUES (%(scope)s, %(name)s, %(per_second)s, %(burst)s, %(burst)s)
    ON CONFLICT DO NOTHING
), held AS MATERIALIZED (
    SELECT l.tokens, l.refilled_at, clock_timestamp() AS at
    FROM outbox.limits l
    WHERE l.scope = %(scope)s AND l.name = %(name)s
    FOR UPDATE
), full_by_now AS (
    SELECT h.at,
           least(%(burst)s, h.tokens + greatest(date_part('epoch', h.at - h.refilled_at), 0) * %(per_second)s) AS tokens
    FROM held h
), granted AS (
    SELECT f.at, f.tokens, least(%(want)s, floor(f.tokens)) AS count FROM full_by_now f
)
UPDATE outbox.limits l
SET tokens = g.tokens - g.count, refilled_at = g.at, per_second = %(per_second)s, burst = %(burst)s
FROM granted g
WHERE l.scope = %(scope)s AND l.name = %(name)s
RETURNING g.count::bigint, greatest((1 - l.tokens) / l.per_second, 0)
"""


class Granted(NamedTuple):
    """How many tokens were taken, and after how many seconds there is another."""

    tokens: int
    wait: float


async def take(
    conn: AsyncConnection[Any], *, scope: str, name: str, per_second: float, burst: float, want: int
) -> Granted:
    """Take at most `want` tokens from a bucket, which is full when it is new; it has this rate from now on.

    `scope` is `channel`, `provider` or `recipient`; `burst` is what the bucket holds, at least 1.
    """
    asked = {"scope": scope, "name": name, "per_second": per_second, "burst": burst, "want": want}
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(TAKE, asked)
        row = await cursor.fetchone()
    return Granted(*row) if row else Granted(0, 0.0)
