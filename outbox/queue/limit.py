"""limit: take tokens from buckets that all workers share, so that a rate holds for the whole fleet.

A bucket fills by `per_second` up to `burst`; who takes from it holds its row for one short statement, and takes many at
a time, so that the row is no hot spot.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection

    from outbox.durations import Rate

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

# A recipient's bucket goes below nothing: who comes while it is empty takes the next token that will flow, and waits
# for it, so that a thousand who wait for one recipient are not claimed again and again for one that may go. In the
# order of names, or two workers could wait for each other.
PREPARE = """
INSERT INTO outbox.limits (scope, name, per_second, burst, tokens)
SELECT 'recipient', a.name, %(per_second)s, %(burst)s, %(burst)s
FROM (SELECT DISTINCT unnest(%(names)s::text[])) AS a (name)
ORDER BY a.name
ON CONFLICT DO NOTHING
"""

RESERVE = """
WITH asked AS (
    SELECT a.name, count(*) AS wanted FROM unnest(%(names)s::text[]) AS a (name) GROUP BY a.name
), held AS MATERIALIZED (
    SELECT l.name, l.tokens, l.refilled_at, clock_timestamp() AS at
    FROM outbox.limits l
    WHERE l.scope = 'recipient' AND l.name = ANY (%(names)s::text[])
    ORDER BY l.name
    FOR UPDATE
), full_by_now AS (
    SELECT h.name, h.at,
           least(%(burst)s, h.tokens + greatest(date_part('epoch', h.at - h.refilled_at), 0) * %(per_second)s) AS tokens
    FROM held h
), granted AS (
    SELECT f.*, least(a.wanted, greatest(floor(f.tokens + %(patience)s * %(per_second)s), 0)) AS count
    FROM full_by_now f JOIN asked a USING (name)
)
UPDATE outbox.limits l
SET tokens = g.tokens - g.count, refilled_at = g.at, per_second = %(per_second)s, burst = %(burst)s
FROM granted g
WHERE l.scope = 'recipient' AND l.name = g.name
RETURNING l.name, g.tokens, g.count::bigint
"""

RESERVE_AROUND = RESERVE.replace("FOR UPDATE", "FOR UPDATE SKIP LOCKED")

# A bucket that is full again says what none would say. Not a new one, which somebody is about to take from.
FORGET = """
DELETE FROM outbox.limits l
WHERE (l.scope, l.name) IN (
    SELECT f.scope, f.name
    FROM outbox.limits f
    WHERE f.scope = 'recipient' AND f.refilled_at < now() - interval '1 minute'
      AND (f.burst - f.tokens) / f.per_second < date_part('epoch', now() - f.refilled_at)
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED
)
"""


class Granted(NamedTuple):
    """How many tokens were taken, and after how many seconds there is another."""

    tokens: int
    wait: float


async def take(
    conn: AsyncConnection[Any], *, scope: str, name: str, per_second: float, burst: float, want: int
) -> Granted:
    """Take at most `want` tokens from a bucket, which is full when it is new; it has this rate from now on.

    `scope` is `channel` or `provider`; `burst` is what the bucket holds, at least 1.
    """
    asked = {"scope": scope, "name": name, "per_second": per_second, "burst": burst, "want": want}
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(TAKE, asked)
        row = await cursor.fetchone()
    return Granted(*row) if row else Granted(0, 0.0)


async def reserve(
    conn: AsyncConnection[Any],
    recipients: Sequence[str],
    *,
    channel: str,
    rate: Rate,
    patience: float,
    around: bool = False,
) -> list[float]:
    """Take a token for each of the recipients; return after how many seconds its turn comes, 0 where it is now.

    `recipients` may name one several times: earlier ones come first. Whose turn comes later than in `patience` seconds
    gets none, and `math.inf`. What is stored of a recipient is a digest. With `around`, a bucket that somebody holds
    (who erases the person in a transaction that stays open, say) is not waited for, and taken for full.
    """
    names = [_name(channel, recipient) for recipient in recipients]
    asked: dict[str, Any] = {
        "names": names,
        "per_second": rate.per_second,
        "burst": max(rate.number, 1.0),
        "patience": patience,
    }
    async with conn.cursor(row_factory=tuple_row) as cursor:
        if not around:
            await cursor.execute(PREPARE, asked)
        await cursor.execute(RESERVE_AROUND if around else RESERVE, asked)
        left = {name: (tokens, count) for name, tokens, count in await cursor.fetchall()}
    waits = []
    for name in names:
        tokens, count = left.get(name, (asked["burst"], len(names)))  # gone in between, and so it was full; or held
        waits.append(max((1 - tokens) / rate.per_second, 0.0) if count else math.inf)
        left[name] = tokens - 1, max(count - 1, 0)
    return waits


async def forget(conn: AsyncConnection[Any], *, batch: int) -> bool:
    """Delete at most `batch` recipients' buckets that are full again; tell whether there may be more."""
    return (await conn.execute(FORGET, {"batch": batch})).rowcount == batch


def _name(channel: str, recipient: str) -> str:
    told = recipient.lower() if channel == "email" else recipient
    return f"{channel}:{hashlib.sha256(told.encode()).hexdigest()}"  # outbox.is_limit_of() knows it by this
