"""follow: the attempts as they are settled, each once, whatever the order in which they are committed. This only reads.

A row is new when the transaction that wrote it was not over at the look before. That is asked of the row's `xmin` and
of the snapshot of that look, so that nothing has to be remembered of what was there; but a row may also have been
written in a subtransaction, of which a snapshot does not tell. No worker has any; of what others write (cancellations,
suppressions), every row that may be new is fetched, and those that were told are remembered.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from outbox.connections import Parameters

# xmin has 32 bits: what is above them is that of the present, or one less where that would lie ahead of it. Rows so old
# that it would be wrong are outside of any window.
LOOK = """
SELECT CAST(now.snapshot AS text), date_part('epoch', statement_timestamp()), r.*
FROM (SELECT pg_current_snapshot() AS snapshot,
             CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS numeric) AS beyond,
             CAST(CAST(:before AS text) AS pg_snapshot) AS before,
             statement_timestamp() - make_interval(secs => CAST(CAST(:since AS text) AS float8)) AS since) now
LEFT JOIN LATERAL (
    SELECT a.notification_id, a.claim, a.attempt, n.channel, n.recipient, a.outcome, a.provider, a.error_class,
           a.error_code, a.worker, a.finished_at, date_part('epoch', a.finished_at - a.started_at) AS took,
           date_part('epoch', a.finished_at) AS at,
           a.finished_at > now.since AS asked
    FROM outbox.attempts a
    CROSS JOIN LATERAL (SELECT CAST(CAST(a.xmin AS text) AS numeric) + now.beyond - mod(now.beyond, 4294967296)) x (low)
    CROSS JOIN LATERAL (
        SELECT CAST(CAST(CASE WHEN x.low >= now.beyond THEN x.low - 4294967296 ELSE x.low END AS text) AS xid8)
    ) t (id)
    LEFT JOIN LATERAL (
        SELECT m.channel, m.recipient FROM outbox.notifications m WHERE m.id = a.notification_id LIMIT 1
    ) n ON true
    WHERE a.finished_at > statement_timestamp() - make_interval(secs => CAST(CAST(:window AS text) AS float8))
      AND CASE WHEN now.before IS NULL
               THEN a.worker IS NULL OR a.finished_at > now.since
               ELSE t.id >= pg_snapshot_xmin(now.before)
                    AND (a.worker IS NULL OR NOT pg_visible_in_snapshot(t.id, now.before)) END
      AND (CAST(:channels AS text[]) IS NULL OR n.channel = ANY (CAST(:channels AS text[])))
      AND (CAST(:providers AS text[]) IS NULL OR a.provider = ANY (CAST(:providers AS text[])))
      AND (CAST(:outcomes AS text[]) IS NULL OR a.outcome = ANY (CAST(:outcomes AS text[])))
    ORDER BY a.finished_at, a.notification_id, a.claim
) r ON true
"""

FAILED = ("retry", "dead", "ambiguous", "lost")
"""The outcomes of attempts that failed."""
# How long after its end an attempt may be written down and still be told: by each look, and by one now and then, for
# those whose worker had to wait for the database, or for somebody's lock.
_SHALLOW = 15.0
_DEEP = 300.0
_DEEP_EVERY = 10.0
_SLACK = 30.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One claim that ended. The channel and the recipient are None where the notification was erased since."""

    id: UUID
    claim: int
    attempt: int
    channel: str | None
    recipient: str | None
    outcome: str
    provider: str | None
    error_class: str | None
    error_code: str | None
    worker: int | None
    finished_at: datetime
    took: float | None
    """Seconds of delivery, where it began."""


class Following:
    """What was told, and from which snapshot on the rest is new."""

    def __init__(
        self, *, channels: Sequence[str] = (), providers: Sequence[str] = (), outcomes: Sequence[str] = ()
    ) -> None:
        self._filter: Parameters = {
            "channels": list(channels) or None,
            "providers": list(providers) or None,
            "outcomes": list(outcomes) or None,
        }
        self._before: str | None = None
        self._deep_before: str | None = None
        self._deep_at = self._looked_at = time.monotonic()
        self._told: dict[tuple[str, int, str], tuple[int, float]] = {}
        self._turn = 0
        self._clock = 0.0

    def start(self, conn: Any, since: float = 0.0) -> list[Attempt]:
        """Return the attempts of the last `since` seconds, in the order of their ends; what comes later is new.

        Raises:
            NotMigrated: the database has no outbox.
        """
        self._before = self._deep_before = None
        found = self._look(conn, max(since, _DEEP + _SLACK), None, since)
        self._deep_before, self._deep_at = self._before, time.monotonic()
        return found

    def look(self, conn: Any) -> list[Attempt]:
        """Return what was committed since the last look, in the order of their ends; `conn` is in autocommit mode.

        After a time without an answer, all that was written in it is told.
        """
        now = time.monotonic()
        silence = now - self._looked_at
        if now - self._deep_at < _DEEP_EVERY:
            return self._look(conn, _SHALLOW + silence, self._before, _DEEP + silence)
        found = self._look(conn, _DEEP + silence, self._deep_before, _DEEP + silence)
        self._deep_before, self._deep_at = self._before, now
        self._turn += 1
        self._forget()
        return found

    def _forget(self) -> None:
        """Forget what no look comes back to: of a worker's, what was told before the last deep one."""
        oldest = self._clock - _DEEP - _SLACK
        self._told = {key: it for key, it in self._told.items() if it[0] >= self._turn - 1 or it[1] > oldest}

    def _look(self, conn: Any, window: float, before: str | None, since: float) -> list[Attempt]:
        asked: Parameters = {"before": before, "window": str(window), "since": str(since), **self._filter}
        rows = connections.run(conn, LOOK, asked, allow_autocommit=True)
        self._looked_at = time.monotonic()
        self._before, self._clock = rows[0][0], rows[0][1]
        found = []
        for _, _, identity, *fields, at, was_asked in rows:
            if identity is None:
                continue
            attempt = Attempt(UUID(str(identity)), *fields)
            key = (str(identity), attempt.claim, attempt.outcome)
            if key not in self._told and was_asked:
                found.append(attempt)
            # Of a worker's, the snapshots tell; each deep look comes back to what was told since the one before.
            self._told[key] = (self._turn, at if attempt.worker is None else 0.0)
        return found
