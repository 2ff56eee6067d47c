"""claim: take due notifications in hand, under a lease, so that nobody else delivers them meanwhile."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

from outbox.messages import Notification

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from psycopg import AsyncConnection

# One index range per priority level, so that a million rows scheduled at `urgent` do not stand in the others' way.
# MATERIALIZED: with stale statistics the planner may otherwise run the LIMIT again for each outer row, and claim
# thousands (PostgreSQL bug #15715). LIMIT 1 keeps the joins lookups in one partition, whatever the statistics say.
CLAIM = """
WITH due AS MATERIALIZED (
    SELECT q.id, q.run_at, q.worker
    FROM unnest(%(levels)s::smallint[]) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT waiting.id, waiting.run_at, waiting.worker
        FROM outbox.queue waiting
        WHERE waiting.channel = %(channel)s AND waiting.priority = level.priority AND waiting.run_at <= now()
          AND (%(suspects)s OR waiting.lost + (waiting.worker IS NOT NULL)::int < %(suspicious)s)
        ORDER BY waiting.run_at
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) q
    LIMIT %(limit)s
), claimed AS (
    UPDATE outbox.queue q
    SET claim = q.claim + 1, worker = %(worker)s, run_at = now() + make_interval(secs => %(lease)s),
        lost = q.lost + (q.worker IS NOT NULL)::int::smallint
    FROM due
    WHERE q.id = due.id
    RETURNING q.id, q.channel, q.claim, q.attempt, q.lost, q.priority, due.run_at AS due_at, due.worker AS lost_by
), lost AS (
    INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome, worker)
    SELECT c.id, c.claim - 1, c.attempt, 'lost', c.lost_by FROM claimed c WHERE c.lost_by IS NOT NULL
    ON CONFLICT DO NOTHING
)
SELECT c.id, c.channel, n.recipient, n.template, n.locale, n.payload::text, c.priority, n.topic, n.group_key,
       n.headers::text, n.created_at, c.claim, c.attempt, c.lost, c.lost_by, s.reason,
       date_part('epoch', now() - greatest(n.run_at, d.resolved_at)),
       date_part('epoch', n.expires_at - now()), date_part('epoch', now() - c.due_at)
FROM claimed c
LEFT JOIN LATERAL (SELECT * FROM outbox.notifications WHERE id = c.id LIMIT 1) n ON true
LEFT JOIN LATERAL (  -- a replayed one begins anew; none is looked up for a first claim
    SELECT resolved_at FROM outbox.dead_letters WHERE notification_id = c.id AND c.claim > 1 LIMIT 1
) d ON true
LEFT JOIN LATERAL (
    SELECT concat_ws(', ', s.reason, 'topic ' || nullif(s.topic, ''), 'since ' || s.created_at::date) AS reason
    FROM outbox.suppressions s
    WHERE s.channel = n.channel
      AND s.recipient = CASE WHEN n.channel = 'email' THEN lower(n.recipient) ELSE n.recipient END
      AND s.topic IN ('', coalesce(n.topic, '')) AND (s.until IS NULL OR s.until > now())
    LIMIT 1
) s ON true
ORDER BY c.priority, c.due_at
"""


SUSPICIOUS = 2
"""From so many vanished workers on, a notification is a suspect: it may be what kills them."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A notification in hand. `claim` is the fencing token that every write about it carries."""

    notification: Notification
    claim: int
    attempt: int
    """Deliveries tried before this claim."""
    lost: int
    """Earlier claims whose worker vanished."""
    lost_by: int | None
    """The worker that vanished with it just now, if so."""
    suppression: str | None
    """Why the recipient must not be contacted, if so."""
    age: float
    """Seconds since it was first due, or was replayed."""
    expires_in: float | None
    """Seconds until it is too late, at the time of the claim."""
    waited: float
    """Seconds since it was due."""
    defect: str | None = None
    """Why nobody can read it, if so: no exception, or one row would stop every worker that claims it."""

    @property
    def id(self) -> UUID:
        """The notification's id."""
        return self.notification.id


async def claim(
    conn: AsyncConnection[Any],
    *,
    channel: str,
    levels: Sequence[int],
    limit: int,
    lease: float,
    worker: int,
    suspects: bool = True,
) -> list[Claimed]:
    """Claim at most `limit` due notifications of one channel for `lease` seconds, first by level, then by due time.

    `levels` are the priorities to look at, in the order to look at them; without `suspects`, those that may be what
    kills workers are passed by. A row whose earlier lease ran out is claimed like any other, and its earlier claim is
    recorded as `lost`.
    """
    parameters = {
        "channel": channel,
        "levels": list(levels),
        "limit": limit,
        "lease": lease,
        "worker": worker,
        "suspects": suspects,
        "suspicious": SUSPICIOUS,
    }
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(CLAIM, parameters)
        return [_claimed(row) for row in await cursor.fetchall()]


def _claimed(row: Sequence[Any]) -> Claimed:
    identity, channel, recipient, template, locale, payload, priority, topic, group_key, headers, created_at = row[:11]
    defect = None
    try:
        payload, headers = json.loads(payload or "{}"), json.loads(headers) if headers else None
    except (ValueError, RecursionError) as error:
        payload, headers, defect = {}, None, f"its payload or headers cannot be read: {type(error).__name__}"
    if recipient is None:
        recipient, defect = "", "its row in outbox.notifications is gone"
    notification = Notification(
        identity, channel, recipient, template, locale, payload, priority, topic, group_key, headers, created_at
    )
    claim, attempt, lost, lost_by, suppression, age, expires_in, waited = row[11:]
    return Claimed(notification, claim, attempt, lost, lost_by, suppression, age or 0.0, expires_in, waited, defect)
