"""claim: take due notifications in hand, under a lease, so that nobody else delivers them meanwhile."""

from __future__ import annotations

import json
from functools import partial
from json.scanner import make_scanner
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import tuple_row

from outbox.errors import Rejected
from outbox.messages import Notification

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from psycopg import AsyncConnection

_scan = make_scanner(json.JSONDecoder())  # type: ignore[arg-type]  # json.loads looks for white space around it first, which jsonb never has

# One index range per priority level, so that a million rows scheduled at `urgent` do not stand in the others' way.
# MATERIALIZED: with stale statistics the planner may otherwise run the LIMIT again for each outer row, and claim
# thousands (PostgreSQL bug #15715). By ctid, because the primary key costs a descent a row, or a hash join that reads
# the whole queue; what is locked cannot move. LIMIT 1 keeps the joins lookups in one partition, whatever the statistics
# say. Sub-selects around parameters hide their values from the planner: or it thinks that a plan for these very values
# pays, and plans each claim anew, 1.4 ms for the check constraints of all the partitions. FULL JOIN is never a nested
# loop, which with the statistics of an emptied queue compares each row with each: 60 ms for 500 instead of 8. What was
# locked and not claimed has no id there. It is put in order before the rest is looked up, which keeps the order, and
# not after, when ten times as much would be moved.
#
# Lost claims are recorded in the order of their ids, as settle does, which may write the same of late successes: or the
# two could deadlock. What they said of a topic, or its default, is asked of functions: a join would cost each row a
# microsecond, and every claim opens the tables that are named in it. A sub-select that names no row is asked once, and
# nothing is looked up for a first claim that only a second can have; a replayed one begins anew.
#
# psycopg keeps what it made of a statement up to 4,096 characters, and makes it anew of a longer one, each time, in
# 90 µs: so all this is said here, and not in it.
CLAIM = """
WITH due AS MATERIALIZED (
    SELECT q.place, q.id, q.run_at, q.worker
    FROM unnest(%(levels)s::smallint[], %(ages)s::float8[]) AS level (priority, age)
    CROSS JOIN LATERAL (
        SELECT waiting.ctid AS place, waiting.id, waiting.run_at, waiting.worker
        FROM outbox.queue waiting
        WHERE waiting.channel = (SELECT %(channel)s::text) AND waiting.priority = level.priority
          AND waiting.run_at <= now()
          AND waiting.run_at >= coalesce(now() - make_interval(secs => level.age), '-infinity')
          AND (waiting.leased_until <= now()) IS NOT FALSE
          AND (%(suspects)s OR waiting.lost + ((waiting.worker <> %(worker)s) IS TRUE)::int < %(suspicious)s)
          AND (waiting.ordering_key IS NULL
               OR NOT outbox.is_blocked(waiting.channel, waiting.ordering_key, waiting.position))
        ORDER BY waiting.run_at
        LIMIT (SELECT %(limit)s::bigint)
        FOR UPDATE SKIP LOCKED
    ) q
    LIMIT (SELECT %(limit)s::bigint)
), claimed AS (
    UPDATE outbox.queue q
    SET claim = q.claim + 1, worker = %(worker)s, leased_until = now() + make_interval(secs => %(lease)s),
        lost = q.lost + ((q.worker <> %(worker)s) IS TRUE)::int::smallint
    WHERE q.ctid = ANY (ARRAY(SELECT due.place FROM due))
    RETURNING q.ctid AS place, q.id, q.claim, q.attempt, q.lost, q.priority
), taken AS MATERIALIZED (
    SELECT c.*, due.worker, due.run_at FROM claimed c FULL JOIN due ON due.id = c.id ORDER BY c.priority, due.run_at
), lost AS (
    INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome, worker)
    SELECT c.id, c.claim - 1, c.attempt, 'lost', c.worker
    FROM taken c
    WHERE c.worker IS NOT NULL AND c.id IS NOT NULL
    ORDER BY c.id
    ON CONFLICT DO NOTHING
)
SELECT c.id, c.id::text, c.place::text, c.claim, c.attempt, c.lost, c.worker,
       coalesce(s.reason, CASE
           WHEN (SELECT outbox.anybody_chooses(%(channel)s))
                AND n.topic IS NOT NULL AND (n.topic = ANY (%(transactional)s::text[])) IS NOT TRUE
           THEN outbox.unwanted(%(channel)s, n.recipient, n.topic)
       END),
       coalesce(date_part('epoch', now() - greatest(n.run_at, d.resolved_at)), 0),
       date_part('epoch', n.expires_at - now()), date_part('epoch', now() - c.run_at),
       CASE WHEN c.claim > 1 THEN outbox.sent_by(c.id) END,
       CASE WHEN c.claim > 1 THEN outbox.in_doubt(c.id, d.resolved_at) END,
       n.recipient, n.template, n.locale, n.payload::text, c.priority, n.topic, n.group_key, n.headers::text,
       n.created_at, n.time_zone,
       CASE WHEN n.unless_read IS NOT NULL OR n.unless_sent IS NOT NULL
            THEN outbox.why_needless(n.unless_read, n.unless_sent) END,
       CASE WHEN n.unless_read IS NOT NULL OR n.unless_sent IS NOT NULL
            THEN outbox.follows_in(n.run_at, n.unless_read, n.unless_sent) END,
       n.trace, CASE WHEN c.attempt > 0 THEN outbox.unrecognised(c.id, d.resolved_at) END
FROM taken c
LEFT JOIN LATERAL (SELECT * FROM outbox.notifications WHERE id = c.id LIMIT 1) n ON true
LEFT JOIN LATERAL (
    SELECT resolved_at FROM outbox.dead_letters WHERE notification_id = c.id AND c.claim > 1 LIMIT 1
) d ON true
LEFT JOIN LATERAL (
    SELECT concat_ws(', ', s.reason, 'topic ' || nullif(s.topic, ''), 'since ' || s.created_at::date) AS reason
    FROM outbox.suppressions s
    WHERE (SELECT EXISTS (SELECT FROM outbox.suppressions WHERE channel = %(channel)s))
      AND s.channel = %(channel)s
      AND s.recipient = CASE WHEN n.channel = 'email' THEN lower(n.recipient) ELSE n.recipient END
      AND s.topic IN ('', coalesce(n.topic, '')) AND (s.sender = '' OR s.sender = ANY (%(senders)s::text[]))
      AND (s.until IS NULL OR s.until > now())
      AND (s.reason <> 'unsubscribed' OR (n.topic = ANY (%(transactional)s::text[])) IS NOT TRUE)
    LIMIT 1
) s ON true
WHERE c.id IS NOT NULL
"""


SUSPICIOUS = 2
"""From so many vanished workers on, a notification is a suspect: it may be what kills them."""


class Claimed(NamedTuple):
    """A notification in hand: a row of `CLAIM`. `claim` is the fencing token that every write about it carries."""

    id: UUID
    key: str
    """Its id as text: what a provider is given as idempotency key."""
    place: str | None = None
    """Where its row in the queue lies (`ctid`): a hint, that settles it faster."""
    claim: int = 1
    attempt: int = 0
    """Deliveries tried before this claim."""
    lost: int = 0
    """Earlier claims whose worker vanished."""
    lost_by: int | None = None
    """The worker whose lease on it ran out, if one did: it vanished, unless it is the one that claims."""
    suppression: str | None = None
    """Why the recipient must not be contacted, if so."""
    age: float = 0.0
    """Seconds since it was first due, or was replayed."""
    expires_in: float | None = None
    """Seconds until it is too late, at the time of the claim."""
    waited: float = 0.0
    """Seconds since it was due."""
    sent_by: int | None = None
    """The earlier claim that is recorded as sent, if one is."""
    in_doubt: str | None = None
    """The provider that may have accepted it in an earlier attempt, if nobody could know."""
    recipient: str | None = None
    template: str | None = None
    locale: str | None = None
    payload: str = "{}"
    """As JSON: read when its turn comes, so that the next claim need not wait for that."""
    priority: int = 5
    topic: str | None = None
    group_key: str | None = None
    headers: str | None = None
    created_at: datetime | None = None
    time_zone: str | None = None
    needless: str | None = None
    """Why it is not needed any more, if so: what it was to follow was read, or was sent."""
    follows_in: float | None = None
    """Seconds until its turn after what it is to follow, if that waits as well."""
    trace: str | None = None
    """The trace that it was enqueued in, as a `traceparent`, if there was one."""
    unrecognised: Sequence[str] | None = None
    """Who refused it before with which code that their tables do not have: `twilio 400 29999`."""

    def notification(self, channel: str) -> Notification:
        """Return what is to be delivered. Raises `Rejected` when nobody can read it."""
        if self.recipient is None:
            raise Rejected("its row in outbox.notifications is gone")
        try:
            payload, headers = _scan(self.payload, 0)[0], self.headers and _scan(self.headers, 0)[0]
        except (ValueError, RecursionError, StopIteration) as error:
            raise Rejected(f"its payload or headers cannot be read: {type(error).__name__}") from None
        return _notification(
            (
                self.id,
                channel,
                self.recipient,
                self.template,
                self.locale,
                payload,
                self.priority,
                self.topic,
                self.group_key,
                headers or None,
                self.created_at,
                self.expires_in,
                self.time_zone,
            )
        )

    def wants_token(self) -> bool:
        """Tell whether it may be sent, and was never claimed before, or by a worker that vanished with it."""
        return (self.claim == 1 or self.lost_by is not None) and self.may_be_sent()

    def was_lost(self) -> bool:
        """Tell whether a worker vanished with it since it was tried last: nobody knows what that one did."""
        return self.lost_by is not None or self.lost > 0

    def may_be_sent(self) -> bool:
        """Tell whether nothing that the claim found out stands in the way."""
        late = self.expires_in is not None and self.expires_in <= 0
        allowed = self.suppression is None and self.needless is None and self.sent_by is None
        return self.recipient is not None and allowed and not late

    def __repr__(self) -> str:
        """Show which it is, but not what it says."""
        return f"Claimed({self.key!r}, claim={self.claim}, attempt={self.attempt}, lost={self.lost})"


# Both without a call in Python for each.
_claimed = partial(tuple.__new__, Claimed)
_notification = partial(tuple.__new__, Notification)


async def claim(
    conn: AsyncConnection[Any],
    *,
    channel: str,
    levels: Sequence[int],
    limit: int,
    lease: float,
    worker: int,
    suspects: bool = True,
    ages: Sequence[float | None] = (),
    senders: Sequence[str] = (),
    transactional: Sequence[str] = (),
) -> list[Claimed]:
    """Claim at most `limit` due notifications of one channel for `lease` seconds, first by level, then by due time.

    `levels` are the priorities to look at, in the order to look at them, each as many seconds back as `ages` says (None
    or nothing: all the way). Without `suspects`, those that may be what kills workers are passed by. A row whose
    earlier lease ran out is claimed like any other, and its earlier claim is recorded as `lost`. It counts as lost
    unless `worker` had it: whoever claims is alive (its answer was lost on the way, or its loop stood still). `senders`
    are ours on this channel, for suppressions that bind one of them; what is about a topic that is `transactional` goes
    to people who have unsubscribed, too.
    """
    asked = parameters(
        channel=channel,
        levels=levels,
        limit=limit,
        lease=lease,
        worker=worker,
        suspects=suspects,
        ages=ages,
        senders=senders,
        transactional=transactional,
    )
    async with conn.cursor(binary=True, row_factory=tuple_row) as cursor:
        await cursor.execute(CLAIM, asked)
        return list(map(_claimed, await cursor.fetchall()))


def parameters(
    *,
    channel: str,
    levels: Sequence[int],
    limit: int,
    lease: float,
    worker: int,
    suspects: bool = True,
    ages: Sequence[float | None] = (),
    senders: Sequence[str] = (),
    transactional: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the parameters of `CLAIM`, as `claim` takes them."""
    return {
        "channel": channel,
        "levels": list(levels),
        "ages": list(ages),
        "limit": limit,
        "lease": lease,
        "worker": worker,
        "suspects": suspects,
        "suspicious": SUSPICIOUS,
        "senders": list(senders),
        "transactional": list(transactional),
    }
