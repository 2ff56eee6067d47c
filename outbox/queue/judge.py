"""judge: what a replay would do with dead letters, and why not with some. This statement only reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Iterable

Verdict: TypeAlias = Literal[
    "replay", "anew", "unknown", "replayed", "discarded", "queued", "sent", "key_taken", "too_often"
]

CHUNK = 1_000
MAX_REPLAYS = 3
"""So often a letter is replayed, unless somebody says otherwise: what dies of it each time is a loop."""
# The subselects stay lookups in one partition, whatever the statistics say; EXISTS may become a hash of a whole table.
# What was enqueued in the place of another letter was replayed as often as that, too.
JUDGE = """
WITH RECURSIVE line AS (
    SELECT asked.id, p.notification_id AS before, p.replays
    FROM unnest(CAST(CAST(:ids AS text[]) AS uuid[])) AS asked (id)
    CROSS JOIN LATERAL (
        SELECT d.notification_id, d.replays FROM outbox.dead_letters d WHERE d.replaced_by = asked.id LIMIT 1
    ) p
    UNION
    SELECT l.id, p.notification_id, p.replays
    FROM line l
    CROSS JOIN LATERAL (
        SELECT d.notification_id, d.replays FROM outbox.dead_letters d WHERE d.replaced_by = l.before LIMIT 1
    ) p
), earlier AS (
    SELECT l.id, sum(l.replays) AS replays FROM line l GROUP BY l.id
)
SELECT asked.id,
       CASE
           WHEN d.notification_id IS NULL THEN 'unknown'
           WHEN d.resolution IS NOT NULL THEN d.resolution
           WHEN (SELECT q.id FROM outbox.queue q WHERE q.id = d.notification_id) IS NOT NULL THEN 'queued'
           WHEN (SELECT max(a.claim) FROM outbox.attempts a
                 WHERE a.notification_id = d.notification_id AND a.outcome = 'sent') IS NOT NULL THEN 'sent'
           WHEN k.notification_id <> d.notification_id THEN 'key_taken'
           WHEN d.replays + coalesce(e.replays, 0) >= CAST(CAST(:max_replays AS text) AS bigint) THEN 'too_often'
           WHEN n.id IS NULL THEN 'anew'
           ELSE 'replay'
       END,
       d.channel, d.reason,
       coalesce(CASE WHEN n.id IS NULL THEN d.expires_at ELSE n.expires_at END <= statement_timestamp(), false)
FROM unnest(CAST(CAST(:ids AS text[]) AS uuid[])) WITH ORDINALITY AS asked (id, position)
LEFT JOIN outbox.dead_letters d ON d.notification_id = asked.id
LEFT JOIN outbox.idempotency_keys k ON k.key = d.idempotency_key AND k.channel = d.channel
LEFT JOIN LATERAL (
    SELECT m.id, m.expires_at FROM outbox.notifications m WHERE m.id = d.notification_id LIMIT 1
) n ON true
LEFT JOIN earlier e ON e.id = asked.id
ORDER BY asked.position
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a replay of one dead letter would do. All but `replay` and `anew` are reasons to leave it alone.

    `replay`: it goes back into the queue. `anew`: retention has dropped the notification, so the letter's copy is
    enqueued under a new id. `unknown`: there is no such dead letter. `replayed`, `discarded`: it is resolved. `queued`:
    it is being delivered. `sent`: a worker thought lost had delivered it after all. `key_taken`: its idempotency key
    has expired, and stands for another notification now. `too_often`: it was replayed so often, and died each time.
    """

    id: UUID
    verdict: Verdict
    channel: str | None
    reason: str | None
    is_expired: bool
    """Past its `expires_at`: the next claim will end it as expired, unsent."""


def judge(conn: Any, ids: Iterable[UUID | str], *, max_replays: int | None = MAX_REPLAYS) -> list[Judged]:
    """Return what `replay` would do with each of the dead letters, in order; writes nothing.

    Raises:
        ValueError: an id is no UUID.
        NotMigrated: the database has no outbox.
    """
    judged: list[Judged] = []
    each: list[str | None] = [str(identity) for identity in dict.fromkeys(UUID(str(given)) for given in ids)]
    for start in range(0, len(each), CHUNK):
        asked: connections.Parameters = {
            "ids": each[start : start + CHUNK],
            "max_replays": None if max_replays is None else str(max_replays),
        }
        rows = connections.run(conn, JUDGE, asked, allow_autocommit=True)
        judged += [Judged(UUID(str(row[0])), *row[1:]) for row in rows]
    return judged
