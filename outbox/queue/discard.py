"""discard: close dead letters that nobody will replay. They stay to be read, and are out of the way."""

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

    from outbox.queue.letter_selection import Selection

CHUNK = 1_000
LONGEST_REASON = 1_000

# In id order, as every bulk write here: two of them wait for each other, and never deadlock.
DISCARD = """
WITH opened AS MATERIALIZED (
    SELECT d.notification_id FROM outbox.dead_letters d
    WHERE d.notification_id = ANY (CAST(CAST(:ids AS text[]) AS uuid[])) AND d.resolution IS NULL
    ORDER BY d.notification_id
    FOR UPDATE
), discarded AS (
    UPDATE outbox.dead_letters d
    SET resolution = 'discarded', resolved_at = clock_timestamp(), discard_reason = CAST(:reason AS text)
    FROM opened o
    WHERE d.notification_id = o.notification_id
    RETURNING d.notification_id
)
SELECT asked.id,
       CASE
           WHEN done.notification_id IS NOT NULL THEN NULL
           WHEN d.notification_id IS NULL THEN 'unknown'
           ELSE coalesce(d.resolution, 'replayed')
       END
FROM unnest(CAST(CAST(:ids AS text[]) AS uuid[])) WITH ORDINALITY AS asked (id, position)
LEFT JOIN discarded done ON done.notification_id = asked.id
LEFT JOIN outbox.dead_letters d ON d.notification_id = asked.id
ORDER BY asked.position
"""


@dataclass(frozen=True, slots=True)
class Discarded:
    """What `discard` did: `ids` are closed now; `skipped` maps the others to why not.

    That is `unknown` for what is no dead letter, `replayed` or `discarded` for one that was closed before.
    """

    ids: tuple[UUID, ...]
    skipped: Mapping[UUID, str]

    def __len__(self) -> int:
        """Return how many were closed."""
        return len(self.ids)


def discard(
    conn: Any,
    ids: Iterable[UUID | str],
    *,
    reason: str | None = None,
    actor: str | None = None,
    selected: Selection | None = None,
) -> Discarded:
    """Close dead letters without replaying them, in the transaction that `conn` is in. Nothing is deleted.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        ids: of the dead letters' notifications.
        reason: why, in somebody's words: kept with each of them; up to 1,000 characters.
        actor: who does it, for the audit; without one, nothing is written there.
        selected: what the ids were found by: the audit's subject, in the place of the ids.

    Raises:
        ValueError: an id is no UUID, or the reason is too long.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    if reason is not None and len(reason) > LONGEST_REASON:
        raise ValueError(f"a reason has at most {LONGEST_REASON:,} characters, not {len(reason):,}")
    each: list[str | None] = [str(identity) for identity in dict.fromkeys(UUID(str(given)) for given in ids)]
    closed: list[UUID] = []
    skipped: dict[UUID, str] = {}
    for start in range(0, len(each), CHUNK):
        asked: connections.Parameters = {"ids": each[start : start + CHUNK], "reason": reason}
        for identity, why in connections.run(conn, DISCARD, asked):
            if why is None:
                closed.append(UUID(str(identity)))
            else:
                skipped[UUID(str(identity))] = why
    if actor is not None and closed:
        details = {"discarded": len(closed), "left_alone": Counter(skipped.values()), **named(closed)}
        record(
            conn, actor=actor, action="discard", subject=subject_of(closed, selected), reason=reason, details=details
        )
    return Discarded(tuple(closed), skipped)
