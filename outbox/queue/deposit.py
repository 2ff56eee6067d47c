"""deposit: settle in-app notifications: what a person will see is written by the statement that says it was.

So there is no moment in which one is there without the other, and nothing ambiguous. Unlike elsewhere, a success is
fenced: the deposit itself is the delivery, so that of a claim that was taken over is not to happen. Whoever took it
over deposits the same, unless it was cancelled, or erased.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

from outbox.queue.settlement import columns_of_digests, without_and_with_digests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection

    from outbox.queue.settlement import Settlement

# As SETTLE does with what was sent. A trigger tells whoever listens on outbox_inbox whose inbox it was.
DEPOSIT, DEPOSIT_WITH_DIGESTS = without_and_with_digests("""
WITH ended AS MATERIALIZED (
    SELECT * FROM unnest(
        %(id)s::uuid[], %(claim)s::bigint[], %(attempt)s::smallint[], %(provider)s::text[], %(started)s::float8[],
        %(finished)s::float8[], %(recipient)s::text[], %(title)s::text[], %(body)s::text[], %(url)s::text[],
        %(category)s::text[], %(data)s::jsonb[]/*, %(content)s::bytea[], %(origin)s::bytea[]*/)
        AS e (id, claim, attempt, provider, started, finished, recipient, title, body, url, category, data
              /*, content, origin*/)
), held AS MATERIALIZED (
    SELECT e.id, e.claim
    FROM (SELECT * FROM ended ORDER BY id) e
    CROSS JOIN LATERAL (
        SELECT FROM outbox.queue q
        WHERE q.id = e.id
          AND ((q.claim = e.claim AND q.worker = %(worker)s) OR q.worker IS NULL OR q.leased_until <= now())
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) q
), removed AS (
    DELETE FROM outbox.queue q
    WHERE q.id = ANY (ARRAY(SELECT h.id FROM held h))
    RETURNING CASE WHEN q.ordering_key IS NOT NULL
                   THEN outbox.unblock_next(q.channel, q.ordering_key, q.position, %(id)s::uuid[]) END
), deposited AS (
    INSERT INTO outbox.inbox (notification_id, recipient, title, body, url, category, data)
    SELECT e.id, e.recipient, e.title, e.body, e.url, e.category, e.data
    FROM ended e
    JOIN held h ON h.id = e.id
    ORDER BY e.id
    ON CONFLICT DO NOTHING
), recorded AS (
    INSERT INTO outbox.attempts AS a
        (notification_id, claim, attempt, outcome, provider, worker, started_at, finished_at
         /*, content_digest, template_digest*/)
    SELECT e.id, e.claim, e.attempt, 'sent', e.provider, %(worker)s,
           clock_timestamp() - make_interval(secs => e.started), clock_timestamp() - make_interval(secs => e.finished)
           /*, e.content, e.origin*/
    FROM ended e
    JOIN held h ON h.id = e.id
    ORDER BY e.id
    ON CONFLICT (notification_id, claim) DO UPDATE
    SET outcome = excluded.outcome, attempt = excluded.attempt, provider = excluded.provider,
        started_at = excluded.started_at, finished_at = excluded.finished_at
        /*, content_digest = excluded.content_digest, template_digest = excluded.template_digest*/
    WHERE a.outcome = 'lost'
)
SELECT e.id::text, (e.id, e.claim) IN (SELECT h.id, h.claim FROM held h) AS settled
FROM ended e
WHERE (e.id, e.claim) IN (SELECT h.id, h.claim FROM held h)
   OR (SELECT true FROM outbox.queue q WHERE q.id = e.id AND q.claim = e.claim AND q.worker = %(worker)s LIMIT 1)
""")


async def deposit(
    conn: AsyncConnection[Any], settlements: Sequence[Settlement], *, worker: int
) -> tuple[set[str], set[str]]:
    """Write in-app notifications into their recipients' inboxes, and settle them as sent.

    Returns:
        As `settle` does: the keys of those that were still ours, and of those that are ours but were locked.
    """
    async with conn.cursor(row_factory=tuple_row) as cursor:
        digests = columns_of_digests(settlements)
        columns = _columns(settlements, time.monotonic()) | digests
        await cursor.execute(DEPOSIT_WITH_DIGESTS if digests else DEPOSIT, {"worker": worker} | columns)
        rows = await cursor.fetchall()
    return {row[0] for row in rows if row[1]}, {row[0] for row in rows if not row[1]}


def _columns(settlements: Sequence[Settlement], now: float) -> dict[str, list[Any]]:
    letters = [one.outcome.inbox for one in settlements]
    return {
        "id": [one.key for one in settlements],
        "claim": [one.claim for one in settlements],
        "attempt": [one.attempt + one.outcome.used for one in settlements],
        "provider": [one.outcome.provider for one in settlements],
        "started": [now - one.started for one in settlements],
        "finished": [now - one.finished for one in settlements],
        "recipient": [letter and letter.recipient for letter in letters],
        "title": [letter and letter.title for letter in letters],
        "body": [letter and letter.body for letter in letters],
        "url": [letter and letter.url for letter in letters],
        "category": [letter and letter.category for letter in letters],
        "data": [letter and json.dumps(dict(letter.data)) for letter in letters],
    }
