"""canary: how the first few of a replay fare, before the rest follows. These statements only read.

A replay by steps, from a terminal or from requests that poll: `replay` the first few and commit; ask `fare` until
`verdict` says something; then replay the rest, or do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Fate: TypeAlias = Literal["waiting", "retrying", "sent", "dead", "kept_back"]

# While it is in the queue it has not ended, whatever its history says of the time before the replay. The highest claim
# had the last word. One that died and was discarded meanwhile has died.
FARE = """
SELECT asked.id,
       CASE
           WHEN q.id IS NOT NULL THEN CASE WHEN q.attempt > 0 THEN 'retrying' ELSE 'waiting' END
           WHEN a.sent THEN 'sent'
           WHEN d.resolution IS DISTINCT FROM 'replayed' AND d.notification_id IS NOT NULL THEN 'dead'
           ELSE 'kept_back'
       END
FROM unnest(CAST(CAST(:ids AS text[]) AS uuid[])) WITH ORDINALITY AS asked (id, position)
LEFT JOIN outbox.queue q ON q.id = asked.id
LEFT JOIN outbox.dead_letters d ON d.notification_id = asked.id
LEFT JOIN LATERAL (
    SELECT bool_or(t.outcome = 'sent') AS sent FROM outbox.attempts t WHERE t.notification_id = asked.id
) a ON true
ORDER BY asked.position
"""


@dataclass(frozen=True, slots=True)
class Canary:
    """What has become of the first few, by id.

    `waiting`: not tried again yet. `retrying`: it failed, and is tried again. `sent`. `dead`: it died again.
    `kept_back`: it ended unsent for a reason of its own, as expired, suppressed or cancelled: that proves nothing.
    """

    fates: Mapping[UUID, Fate]

    def count(self, *fates: Fate) -> int:
        """Return how many have one of these fates."""
        return sum(fate in fates for fate in self.fates.values())

    def verdict(self, threshold: float = 1.0) -> bool | None:
        """Return whether the rest may follow: at least this share of those that were tried was sent. None: not yet.

        It says no as soon as too many have died for a yes. Where nothing was sent, nothing is proved, and it says no.
        """
        sent, dead, open_ = self.count("sent"), self.count("dead"), self.count("waiting", "retrying")
        if dead and sent + open_ < threshold * (sent + open_ + dead) - 1e-9:
            return False
        return None if open_ else sent > 0


def fare(conn: Any, ids: Iterable[UUID]) -> Canary:
    """Return what has become of notifications that were replayed: by their new ids, those that were enqueued anew.

    Raises:
        NotMigrated: the database has no outbox.
    """
    rows = connections.run(conn, FARE, {"ids": [str(identity) for identity in ids]}, allow_autocommit=True)
    return Canary({UUID(str(identity)): fate for identity, fate in rows})
