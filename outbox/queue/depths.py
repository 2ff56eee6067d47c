"""depths: how much waits, as it was measured last. To read it costs next to nothing, however much there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

DEPTHS = """
SELECT d.channel, d.priority, d.due, d.leased, d.scheduled, d.retrying, d.blocked,
       date_part('epoch', statement_timestamp() - d.oldest_due_at), d.is_estimate, d.measured_at,
       date_part('epoch', statement_timestamp() - d.measured_at)
FROM outbox.depths d
WHERE CAST(:channels AS text[]) IS NULL OR d.channel = ANY (CAST(:channels AS text[]))
ORDER BY d.channel, d.priority
"""

GAUGES = """
SELECT g.name, g.channel, g.value, date_part('epoch', statement_timestamp() - g.measured_at)
FROM outbox.gauges g
ORDER BY g.name, g.channel
"""


@dataclass(frozen=True, slots=True)
class Depth:
    """One channel and priority, when it was measured. Each that had not ended is in exactly one of the five numbers."""

    channel: str
    priority: int
    due: int
    """To be sent then, those included whose worker vanished."""
    leased: int
    """In a worker's hands."""
    scheduled: int
    """For later, with no attempt used: not tried yet, or put off."""
    retrying: int
    """For later, with some attempts used."""
    blocked: int
    """Behind an earlier one with the same ordering key."""
    oldest_due: float | None
    """Seconds that the oldest of those due has been waiting, by now, if it still does; None when none was due."""
    is_estimate: bool
    """Whether there were too many to count: then the five numbers are right to within some percent."""
    measured_at: datetime
    age: float
    """Seconds since then."""

    @property
    def waiting(self) -> int:
        """How many had not ended and were in nobody's hands."""
        return self.due + self.scheduled + self.retrying + self.blocked


@dataclass(frozen=True, slots=True)
class Gauge:
    """Something else that was measured for the whole fleet; `channel` is empty for what belongs to none."""

    name: str
    channel: str
    value: float
    age: float
    """Seconds since it was measured."""


def depths(conn: Any, channels: Sequence[str] | None = None) -> list[Depth]:
    """Return what was measured last, of the given channels or of all; a worker measures every 15 seconds.

    A channel that a live worker serves is there with zeros when nothing waits on it.

    Raises:
        NotMigrated: the database has no outbox.
    """
    given: list[str | None] | None = list(channels) if channels else None
    rows = connections.run(conn, DEPTHS, {"channels": given}, allow_autocommit=True)
    return [Depth(*row) for row in rows]


def gauges(conn: Any) -> list[Gauge]:
    """Return what else was measured last.

    Raises:
        NotMigrated: the database has no outbox.
    """
    return [Gauge(*row) for row in connections.run(conn, GAUGES, {}, allow_autocommit=True)]
