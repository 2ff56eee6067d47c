"""measure: how much there is in the queue, counted where that is cheap, and estimated beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg.rows import tuple_row

from outbox.queue.leaps import WITH_OPEN_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import AsyncConnection

PAGES = 1_024
"""So many pages of the queue (8 MB) are read at most: all of it, if it has no more, and then everything is exact."""
FRONT = 5_000
"""Of a larger queue, so many rows of each channel and priority are counted one by one, and the rest is estimated."""
_LONGEST_LOOK = "1s"
_KEPT = 14  # days
_FEW = 1_000
_AT_LEAST = 100_000

# No plan is chosen by statistics: what was counted once with a sequential scan of millions would be so again and again.
SETTINGS = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)
"""

SIZE = "SELECT pg_relation_size('outbox.queue') / current_setting('block_size')::bigint"

# Whole pages, drawn evenly, live rows and dead ones: so it costs the same however many there are, knows of a bloated
# table what is left in it, and needs no statistics. The same pages each time, so that they are in memory, and what
# changes from one time to the next is the queue and not the draw. The states are those of inspect.
SAMPLE = """
SELECT q.channel, q.priority,
       count(*) FILTER (WHERE q.due_at <= statement_timestamp()),
       count(*) FILTER (WHERE q.due_at > statement_timestamp() AND q.worker IS NOT NULL),
       count(*) FILTER (WHERE q.due_at > statement_timestamp() AND q.due_at < 'infinity' AND q.worker IS NULL
                          AND q.attempt = 0),
       count(*) FILTER (WHERE q.due_at > statement_timestamp() AND q.due_at < 'infinity' AND q.worker IS NULL
                          AND q.attempt > 0),
       count(*) FILTER (WHERE q.due_at = 'infinity'),
       (min(q.due_at) FILTER (WHERE q.due_at <= statement_timestamp()))::text
FROM (SELECT *, greatest(run_at, leased_until) AS due_at
      FROM outbox.queue TABLESAMPLE SYSTEM (%(percent)s::real) REPEATABLE (1)) q
GROUP BY q.channel, q.priority
"""

# The first rows of each, in the order of their claims, among which are those in workers' hands. The channels and
# priorities are found by leaps along the index.
FRONTS = """
WITH RECURSIVE kinds AS (
    (SELECT q.channel, q.priority FROM outbox.queue q ORDER BY q.channel, q.priority LIMIT 1)
    UNION ALL
    SELECT next.channel, next.priority
    FROM kinds k
    CROSS JOIN LATERAL (
        SELECT q.channel, q.priority FROM outbox.queue q
        WHERE (q.channel, q.priority) > (k.channel, k.priority)
        ORDER BY q.channel, q.priority LIMIT 1
    ) next
)
SELECT k.channel, k.priority,
       count(*) FILTER (WHERE f.due_at <= statement_timestamp()),
       count(*) FILTER (WHERE f.due_at > statement_timestamp() AND f.worker IS NOT NULL),
       count(*) FILTER (WHERE f.due_at > statement_timestamp() AND f.due_at < 'infinity' AND f.worker IS NULL
                          AND f.attempt = 0),
       count(*) FILTER (WHERE f.due_at > statement_timestamp() AND f.due_at < 'infinity' AND f.worker IS NULL
                          AND f.attempt > 0),
       count(*) FILTER (WHERE f.due_at = 'infinity'),
       (min(f.due_at) FILTER (WHERE f.due_at <= statement_timestamp()))::text
FROM kinds k
CROSS JOIN LATERAL (
    SELECT greatest(q.run_at, q.leased_until) AS due_at, q.worker, q.attempt
    FROM outbox.queue q
    WHERE q.channel = k.channel AND q.priority = k.priority
    ORDER BY q.run_at
    LIMIT %(front)s
) f
GROUP BY k.channel, k.priority
"""

# What was there and is not any more is 0 for as long as somebody serves the channel, and what is served is there.
WRITE = """
WITH measured AS MATERIALIZED (
    SELECT * FROM unnest(%(channel)s::text[], %(priority)s::smallint[], %(due)s::bigint[], %(leased)s::bigint[],
                         %(scheduled)s::bigint[], %(retrying)s::bigint[], %(blocked)s::bigint[],
                         %(oldest_due_at)s::timestamptz[], %(is_estimate)s::boolean[])
        AS m (channel, priority, due, leased, scheduled, retrying, blocked, oldest_due_at, is_estimate)
), served AS MATERIALIZED (
    SELECT DISTINCT s.channel FROM outbox.workers w CROSS JOIN unnest(w.channels) AS s (channel)
    WHERE w.seen_at > statement_timestamp() - interval '1 minute'
), empty AS (
    SELECT s.channel, 5::smallint AS priority FROM served s
    UNION
    SELECT d.channel, d.priority FROM outbox.depths d JOIN served s ON s.channel = d.channel
), known AS MATERIALIZED (
    SELECT * FROM measured
    UNION ALL
    SELECT e.channel, e.priority, 0, 0, 0, 0, 0, NULL, false
    FROM empty e
    WHERE (e.channel, e.priority) NOT IN (SELECT m.channel, m.priority FROM measured m)
), gone AS (
    DELETE FROM outbox.depths d WHERE (d.channel, d.priority) NOT IN (SELECT k.channel, k.priority FROM known k)
)
INSERT INTO outbox.depths (channel, priority, due, leased, scheduled, retrying, blocked, oldest_due_at, is_estimate)
SELECT * FROM known ORDER BY channel, priority
ON CONFLICT (channel, priority) DO UPDATE
SET (due, leased, scheduled, retrying, blocked, oldest_due_at, is_estimate, measured_at)
    = (excluded.due, excluded.leased, excluded.scheduled, excluded.retrying, excluded.blocked, excluded.oldest_due_at,
       excluded.is_estimate, excluded.measured_at)
"""

# Open dead letters, channel by channel: the index has them, and what is beyond a number that nobody will read by hand
# is not counted.
DEAD_LETTERS = f"""
WITH RECURSIVE {WITH_OPEN_LETTERS}, counted AS MATERIALIZED (
    SELECT c.channel, (SELECT count(*) FROM (SELECT FROM outbox.dead_letters d
                                             WHERE d.resolution IS NULL AND d.channel = c.channel
                                             LIMIT %(at_least)s) first) AS value
    FROM channels c WHERE c.channel IS NOT NULL
    UNION ALL
    SELECT DISTINCT d.channel, 0 FROM outbox.depths d
), known AS MATERIALIZED (
    SELECT c.channel, max(c.value) AS value FROM counted c GROUP BY c.channel
), gone AS (
    DELETE FROM outbox.gauges g
    WHERE g.name = 'dead_letters_open' AND g.channel NOT IN (SELECT k.channel FROM known k)
)
INSERT INTO outbox.gauges (name, channel, value)
SELECT 'dead_letters_open', k.channel, k.value FROM known k ORDER BY k.channel
ON CONFLICT (name, channel) DO UPDATE SET (value, measured_at) = (excluded.value, excluded.measured_at)
"""  # noqa: S608 - of constants

# The last measurement within a minute stands for it.
RECORD = """
INSERT INTO outbox.samples (at, channel, waiting, due, leased, oldest_due_seconds, dead_letters)
SELECT date_trunc('minute', statement_timestamp()), g.channel,
       coalesce(sum(d.due + d.scheduled + d.retrying + d.blocked), 0), coalesce(sum(d.due), 0),
       coalesce(sum(d.leased), 0), date_part('epoch', statement_timestamp() - min(d.oldest_due_at)), min(g.value)
FROM outbox.gauges g
LEFT JOIN outbox.depths d ON d.channel = g.channel
WHERE g.name = 'dead_letters_open'
GROUP BY g.channel
ORDER BY g.channel
ON CONFLICT (at, channel, provider) DO UPDATE
SET (waiting, due, leased, oldest_due_seconds, dead_letters)
    = (excluded.waiting, excluded.due, excluded.leased, excluded.oldest_due_seconds, excluded.dead_letters)
"""

FORGET = """
DELETE FROM outbox.samples s
WHERE (s.at, s.channel, s.provider) IN (
    SELECT old.at, old.channel, old.provider FROM outbox.samples old
    WHERE old.at < statement_timestamp() - make_interval(days => %(days)s)
    LIMIT %(few)s)
"""


class Measured(NamedTuple):
    """What was found of one channel and priority."""

    channel: str
    priority: int
    due: int
    leased: int
    scheduled: int
    retrying: int
    blocked: int
    oldest_due_at: str | None
    is_estimate: bool

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self[2:7])


async def measure(conn: AsyncConnection[Any]) -> None:
    """Replace what was known of the depth of the queue, note it for this minute, and let go of what is too old."""
    await conn.execute(SETTINGS)
    found = await look(conn)
    columns = {name: [getattr(each, name) for each in found] for name in Measured._fields}
    await conn.execute(WRITE, columns)
    await conn.execute(DEAD_LETTERS, {"at_least": _AT_LEAST})
    await conn.execute(RECORD)
    await conn.execute(FORGET, {"days": _KEPT, "few": _FEW})


async def look(conn: AsyncConnection[Any]) -> list[Measured]:
    """Return what there is in the queue, by channel and priority."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        ((size,),) = await (await cursor.execute(SIZE)).fetchall()
        share = min(PAGES / size, 1.0) if size else 1.0
        rows = await (await cursor.execute(SAMPLE, {"percent": 100 * share})).fetchall()
        sampled = [Measured(*(*row, share < 1)) for row in rows]
        if share == 1:
            return sampled
        fronts = await _fronts(conn)
    return _put_together((_scaled(each, share) for each in sampled), fronts)


async def _fronts(conn: AsyncConnection[Any]) -> list[Measured]:
    """Return the first rows of each, or nothing when dead ones, under somebody's old snapshot, lie in the way."""
    try:
        async with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
            ((before,),) = await (await cursor.execute("SHOW statement_timeout")).fetchall()
            await cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_LONGEST_LOOK])
            rows = await (await cursor.execute(FRONTS, {"front": FRONT})).fetchall()
            await cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])  # a savepoint keeps it
    except psycopg.errors.QueryCanceled:
        return []
    return [Measured(*(*row, False)) for row in rows]


def _scaled(sampled: Measured, share: float) -> Measured:
    return sampled._replace(**{name: round(getattr(sampled, name) / share) for name in Measured._fields[2:7]})


def _put_together(estimates: Iterable[Measured], fronts: Sequence[Measured]) -> list[Measured]:
    """Return the exact numbers of what is in front alone, and for what goes on behind it the greater of both."""
    found = {(each.channel, each.priority): each for each in estimates}
    exact = {(front.channel, front.priority): front for front in fronts if front.total < FRONT}
    long = {
        (front.channel, front.priority): _longer(front, found.get((front.channel, front.priority)))
        for front in fronts
        if front.total >= FRONT
    }
    behind = {} if fronts else found
    return list((behind | exact | long).values())


def _longer(front: Measured, estimate: Measured | None) -> Measured:
    """Return what is known of more than the front. Who is in hand, and who is the oldest, is in front."""
    if estimate is None:
        return front._replace(is_estimate=True)
    counts = {name: max(getattr(front, name), getattr(estimate, name)) for name in Measured._fields[2:7]}
    counts["leased"] = front.leased
    oldest = front.oldest_due_at or estimate.oldest_due_at
    return front._replace(**counts, oldest_due_at=oldest, is_estimate=True)
