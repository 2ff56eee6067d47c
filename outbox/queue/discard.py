"""discard: close dead letters that nobody will replay. They stay to be read, and are out of the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CHUNK = 1_000

# In id order, as every bulk write here: two of them wait for each other, and never deadlock.
DISCARD = """
WITH opened AS MATERIALIZED (
    SELECT d.notification_id FROM outbox.dead_letters d
    WHERE d.notification_id = ANY (CAST(CAST(:ids AS text[]) AS uuid[])) AND d.resolution IS NULL
    ORDER BY d.notification_id
    FOR UPDATE
), discarded AS (
    UPDATE outbox.dead_letters d
    SET resolution = 'discarded', resolved_at = clock_timestamp()
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


def discard(conn: Any, ids: Iterable[UUID | str]) -> Discarded:
    """Close dead letters without replaying them, in the transaction that `conn` is in. Nothing is deleted.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        ids: of the dead letters' notifications.

    Raises:
        ValueError: an id is no UUID.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    each: list[str | None] = [str(identity) for identity in dict.fromkeys(UUID(str(given)) for given in ids)]
    closed: list[UUID] = []
    skipped: dict[UUID, str] = {}
    for start in range(0, len(each), CHUNK):
        for identity, why in connections.run(conn, DISCARD, {"ids": each[start : start + CHUNK]}):
            if why is None:
                closed.append(UUID(str(identity)))
            else:
                skipped[UUID(str(identity))] = why
    return Discarded(tuple(closed), skipped)
