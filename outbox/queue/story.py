"""story: all that is known of one notification. These statements only read, and never what the message says."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections
from outbox.queue.successor import Successor, successor_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from outbox.connections import Parameters

# The state is that of the view. How many go first is counted as the claim orders them.
STORY = """
SELECT statement_timestamp(),
       n.id, n.channel, n.recipient, n.template, n.locale, n.topic, n.group_key, n.ordering_key, n.idempotency_key,
       n.priority,
       n.created_at, n.run_at, n.expires_at, n.time_zone, n.unless_read, n.unless_sent,
       s.state, s.attempts, nullif(greatest(q.run_at, q.leased_until), 'infinity'), q.lost, q.worker, w.host, w.pid,
       (SELECT count(*) FROM outbox.workers live
        WHERE n.channel = ANY (live.channels) AND live.seen_at > statement_timestamp() - interval '1 minute'),
       CASE s.state
       WHEN 'due' THEN
           (SELECT count(*) FROM outbox.queue o
            WHERE o.channel = q.channel AND o.run_at <= statement_timestamp()
              AND (o.leased_until <= statement_timestamp()) IS NOT FALSE
              AND (o.priority, o.run_at) < (q.priority, q.run_at))
       WHEN 'blocked' THEN
           (SELECT count(*) FROM outbox.queue o
            WHERE o.channel = q.channel AND o.ordering_key = q.ordering_key AND o.position < q.position)
       ELSE 0 END,
       (SELECT o.id FROM outbox.queue o
        WHERE o.channel = q.channel AND o.ordering_key = q.ordering_key AND o.position < q.position
        ORDER BY o.position LIMIT 1),
       coalesce((SELECT concat_ws(', ', p.reason, 'topic ' || nullif(p.topic, ''), 'from ' || nullif(p.sender, ''),
                         'since ' || CAST(p.created_at AS date))
        FROM outbox.suppressions p
        WHERE p.channel = n.channel
          AND p.recipient = CASE WHEN n.channel = 'email' THEN lower(n.recipient) ELSE n.recipient END
          AND p.topic IN ('', coalesce(n.topic, '')) AND (p.until IS NULL OR p.until > statement_timestamp())
          AND (p.reason <> 'unsubscribed' OR (n.topic = ANY (CAST(:transactional AS text[]))) IS NOT TRUE)
        ORDER BY outbox.reason_strength(p.reason) DESC, p.topic
        LIMIT 1),
       CASE WHEN n.topic IS NOT NULL AND n.topic <> ALL (CAST(:transactional AS text[]))
            THEN outbox.unwanted(n.channel, n.recipient, n.topic) END),
       outbox.why_needless(n.unless_read, n.unless_sent),
       d.reason, d.died_at, d.replays, d.resolution, d.resolved_at, d.discard_reason, d.replaced_by,
       (SELECT p.notification_id FROM outbox.dead_letters p WHERE p.replaced_by = n.id LIMIT 1),
       CASE WHEN t.transactional THEN 'transactional' WHEN t.opt_in THEN 'opt_in' WHEN NOT t.opt_in THEN 'opt_out' END,
       c.wanted, c.source, c.updated_at, n.trace
FROM outbox.notifications n
JOIN outbox.status s ON s.id = n.id
LEFT JOIN outbox.queue q ON q.id = n.id
LEFT JOIN outbox.workers w ON w.id = q.worker
LEFT JOIN outbox.dead_letters d ON d.notification_id = n.id
LEFT JOIN outbox.topics t ON t.name = n.topic
LEFT JOIN outbox.preferences c
  ON c.channel = n.channel AND c.topic = n.topic
 AND c.recipient = CASE WHEN n.channel = 'email' THEN lower(n.recipient) ELSE n.recipient END
WHERE n.id = CAST(CAST(:id AS text) AS uuid)
"""

ATTEMPTS = """
SELECT a.claim, a.attempt, a.outcome, a.provider, a.provider_message_id, a.error_class, a.error_code, a.error, a.worker,
       a.started_at, a.finished_at, date_part('epoch', a.finished_at - a.started_at),
       date_part('epoch', statement_timestamp() - a.finished_at),
       encode(a.content_digest, 'hex'), encode(a.template_digest, 'hex')
FROM outbox.attempts a
WHERE a.notification_id = CAST(CAST(:id AS text) AS uuid)
ORDER BY a.claim
"""


# An open window has the id that its notification will have.
DIGEST_OF = """
SELECT CASE WHEN EXISTS (SELECT FROM outbox.digests d WHERE d.id = CAST(CAST(:id AS text) AS uuid)) THEN 'gathering'
            ELSE (SELECT s.state FROM outbox.status s WHERE s.id = CAST(CAST(:id AS text) AS uuid)) END
"""
_ID_AT_THE_END = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

# What is under way counts as long as nobody has looked how it ended.
THROTTLE = """
SELECT t.number, date_part('epoch', t.period), cardinality(t.waiting),
       cardinality(t.held) + recent.count, array_position(t.waiting, n.id), recent.first + t.period,
       ARRAY(SELECT CAST(g.notification_id AS text) FROM outbox.throttle_digests g
             WHERE g.digest_id = n.id ORDER BY g.notification_id)
FROM outbox.notifications n
LEFT JOIN outbox.throttles t ON t.recipient = outbox.throttle_recipient(n.channel, n.recipient)
    AND t.topic = n.topic AND t.channel = n.channel
LEFT JOIN LATERAL (
    SELECT count(*) AS count, min(s.at) AS first
    FROM unnest(t.sent_at) AS s (at) WHERE s.at > statement_timestamp() - t.period
) recent ON true
WHERE n.id = CAST(CAST(:id AS text) AS uuid)
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was enqueued, without what the message says."""

    id: UUID
    channel: str
    recipient: str
    template: str | None
    locale: str | None
    topic: str | None
    group_key: str | None
    ordering_key: str | None
    idempotency_key: str | None
    priority: int
    created_at: datetime
    run_at: datetime
    expires_at: datetime | None
    time_zone: str | None
    unless_read: UUID | None
    unless_sent: UUID | None
    trace: str | None
    """The trace that it was enqueued in, as a `traceparent`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is now. All after `attempts` is about work that remains."""

    state: str
    attempts: int
    """Deliveries tried."""
    due_at: datetime | None
    """When it is next due; while leased, when the lease ends; None while blocked."""
    lost: int | None
    """Claims whose worker vanished."""
    worker: int | None
    host: str | None
    pid: int | None
    live_workers: int
    """Workers of its channel that were seen in the last minute."""
    ahead: int
    """Notifications due on its channel that go first; while blocked, those ahead of it in its line."""
    head: UUID | None
    """The first in the line of its ordering key, if that is another."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What its topic is, and what the recipient said of that: None where nothing was declared, or said."""

    default: str | None
    """`opt_out`, `opt_in` or `transactional`."""
    wanted: bool | None
    source: str | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Throttle:
    """What the throttle of its topic says of its recipient: `number` in any period of so many `seconds`."""

    number: int
    seconds: float
    waiting: int
    """How many wait for a place."""
    taken: int
    position: int | None
    """Where in the line of those who wait it stands, from 1 on, if it does."""
    free_at: datetime | None
    """When the place of the first that was sent is free again, if any was."""


@dataclass(frozen=True, slots=True)
class Death:
    """Its dead letter; open while `resolution` is None."""

    reason: str
    died_at: datetime
    replays: int
    resolution: str | None
    resolved_at: datetime | None
    discard_reason: str | None = None
    replaced_by: UUID | None = None
    """The notification that was enqueued in its place."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one claim of it ended. `took` and `ago` are seconds."""

    claim: int
    attempt: int
    outcome: str
    provider: str | None
    provider_message_id: str | None
    error_class: str | None
    error_code: str | None
    error: str | None
    worker: int | None
    started_at: datetime | None
    finished_at: datetime
    took: float | None
    ago: float
    content_digest: str | None
    """Of what the template said, in hexadecimal digits."""
    template_digest: str | None


@dataclass(frozen=True, slots=True)
class Story:
    """One notification from its enqueue to `now`, by the database's clock; `suppression` would keep it back now.

    That is the words of a suppression, or of a preference or the topic's default.
    """

    now: datetime
    facts: Facts
    place: Place
    suppression: str | None
    consent: Consent
    needless: str | None
    """Why its claim would find that it is not needed any more."""
    death: Death | None
    attempts: Sequence[Attempt]
    replaces: UUID | None = None
    """The notification whose dead letter it was enqueued in the place of."""
    throttle: Throttle | None = None
    gathered: Sequence[str] = ()
    """The ids of those that a throttle kept back, and that go out in this one."""
    digest_state: str | None = None
    """The state of the one that it goes out in, if a throttle kept it back; None when there is none any more."""
    successor: Successor | None = None
    """What was enqueued in the place of its dead letter, if something was."""

    @property
    def last(self) -> Attempt | None:
        """The attempt that had the last word: an acceptance, whatever was written after it, or else the newest."""
        accepted = [attempt for attempt in self.attempts if attempt.outcome == "sent"]
        every = accepted or self.attempts
        return every[-1] if every else None

    @property
    def digest(self) -> str | None:
        """The id of the notification that it goes out in, which ends the words of what a throttle gathered."""
        last = self.last
        said = _ID_AT_THE_END.search(last.error or "") if last is not None and last.error_class == "throttled" else None
        return said and said[0]


def tell(
    conn: Any,
    id: UUID | str,  # noqa: A002 - the name of the column
    transactional: Sequence[str] = (),
) -> Story | None:
    """Return the story of one notification, or None when there is no such notification (any more).

    The `transactional` topics are those of the configuration that its worker has.

    Raises:
        NotMigrated: the database has no outbox.
    """
    asked: Parameters = {"id": str(id), "transactional": list(transactional)}
    rows = connections.run(conn, STORY, asked, allow_autocommit=True)
    if not rows:
        return None
    row, told = rows[0], connections.run(conn, THROTTLE, {"id": str(id)}, allow_autocommit=True)
    story = Story(
        now=row[0],
        facts=Facts(UUID(str(row[1])), *row[2:17], *row[41:]),
        place=Place(*row[17:27]),
        suppression=row[27],
        consent=Consent(*row[37:41]),
        needless=row[28],
        death=Death(*row[29:36]) if row[29] is not None else None,
        replaces=row[36],
        attempts=list_attempts(conn, id),
        throttle=Throttle(*told[0][:6]) if told and told[0][0] is not None else None,
        gathered=told[0][6] if told else (),
    )
    if story.death is not None and story.death.replaced_by is not None:
        story = replace(story, successor=successor_of(conn, id))
    if story.digest is None:
        return story
    ((state,),) = connections.run(conn, DIGEST_OF, {"id": story.digest}, allow_autocommit=True)
    return replace(story, digest_state=state)


def list_attempts(conn: Any, id: UUID | str) -> list[Attempt]:  # noqa: A002 - the name of the column
    """Return what became of each claim of a notification, in order.

    Raises:
        NotMigrated: the database has no outbox.
    """
    return [Attempt(*row) for row in connections.run(conn, ATTEMPTS, {"id": str(id)}, allow_autocommit=True)]
