"""reopen: take back that dead letters were discarded. They are open again, and can be replayed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections
from outbox.queue.audit import record
from outbox.queue.letter_selection import named, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CHUNK = 1_000

# In id order, as every bulk write here: two of them wait for each other, and never deadlock.
REOPEN = """
WITH closed AS MATERIALIZED (
    SELECT d.notification_id FROM outbox.dead_letters d
    WHERE d.notification_id = ANY (CAST(CAST(:ids AS text[]) AS uuid[])) AND d.resolution = 'discarded'
    ORDER BY d.notification_id
    FOR UPDATE
), reopened AS (
    UPDATE outbox.dead_letters d
    SET resolution = NULL, resolved_at = NULL, discard_reason = NULL
    FROM closed c
    WHERE d.notification_id = c.notification_id
    RETURNING d.notification_id
)
SELECT asked.id,
       CASE
           WHEN done.notification_id IS NOT NULL THEN NULL
           WHEN d.notification_id IS NULL THEN 'unknown'
           WHEN d.resolution = 'replayed' THEN 'replayed'
           ELSE 'open'
       END
FROM unnest(CAST(CAST(:ids AS text[]) AS uuid[])) WITH ORDINALITY AS asked (id, position)
LEFT JOIN reopened done ON done.notification_id = asked.id
LEFT JOIN outbox.dead_letters d ON d.notification_id = asked.id
ORDER BY asked.position
"""


@dataclass(frozen=True, slots=True)
class Reopened:
    """What `reopen` did: `ids` are open again; `skipped` maps the others to why not.

    That is `unknown` for what is no dead letter, `replayed` for one that was replayed, `open` for one that is.
    """

    ids: tuple[UUID, ...]
    skipped: Mapping[UUID, str]

    def __len__(self) -> int:
        """Return how many are open again."""
        return len(self.ids)


def reopen(conn: Any, ids: Iterable[UUID | str], *, actor: str | None = None, reason: str | None = None) -> Reopened:
    """Open discarded dead letters again, in the transaction that `conn` is in.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        ids: of the dead letters' notifications.
        actor: who does it, for the audit; without one, nothing is written there.
        reason: why, in their words.

    Raises:
        ValueError: an id is no UUID.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    each: list[str | None] = [str(identity) for identity in dict.fromkeys(UUID(str(given)) for given in ids)]
    opened: list[UUID] = []
    skipped: dict[UUID, str] = {}
    for start in range(0, len(each), CHUNK):
        for identity, why in connections.run(conn, REOPEN, {"ids": each[start : start + CHUNK]}):
            if why is None:
                opened.append(UUID(str(identity)))
            else:
                skipped[UUID(str(identity))] = why
    if actor is not None and opened:
        details = {"reopened": len(opened), "left_alone": Counter(skipped.values()), **named(opened)}
        record(conn, actor=actor, action="reopen", subject=subject_of(opened), reason=reason, details=details)
    return Reopened(tuple(opened), skipped)
