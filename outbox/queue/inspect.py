"""inspect: how much waits on each channel, who works, and what is amiss. These statements only read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

# The states are those of the view outbox.status, except that it tells the deferred apart: for that it reads the
# history, and so cannot be counted as quickly.
COUNT = """
WITH counted AS (
    SELECT q.channel,
           count(*) FILTER (WHERE q.due_at <= statement_timestamp()) AS due,
           count(*) FILTER (WHERE q.due_at > statement_timestamp() AND q.worker IS NOT NULL) AS leased,
           count(*) FILTER (WHERE q.due_at > statement_timestamp() AND q.due_at < 'infinity' AND q.worker IS NULL
                              AND q.attempt = 0) AS scheduled,
           count(*) FILTER (WHERE q.due_at > statement_timestamp() AND q.due_at < 'infinity' AND q.worker IS NULL
                              AND q.attempt > 0) AS retrying,
           count(*) FILTER (WHERE q.due_at = 'infinity') AS blocked,
           date_part('epoch', statement_timestamp() - min(nullif(q.due_at, 'infinity'))) AS oldest_due,
           0 AS dead, 0 AS workers, 0 AS gathering
    FROM (SELECT *, greatest(run_at, leased_until) AS due_at FROM outbox.queue) q
    GROUP BY q.channel
    UNION ALL
    SELECT d.channel, 0, 0, 0, 0, 0, NULL, count(*), 0, 0
    FROM outbox.dead_letters d
    WHERE d.resolution IS NULL
    GROUP BY d.channel
    UNION ALL
    SELECT served.channel, 0, 0, 0, 0, 0, NULL, 0, count(*), 0
    FROM outbox.workers w
    CROSS JOIN unnest(w.channels) AS served (channel)
    WHERE w.seen_at > statement_timestamp() - interval '1 minute'
    GROUP BY served.channel
    UNION ALL
    SELECT g.channel, 0, 0, 0, 0, 0, NULL, 0, 0, count(*) FROM outbox.digests g GROUP BY g.channel
    UNION ALL
    SELECT asked.channel, 0, 0, 0, 0, 0, NULL, 0, 0, 0 FROM unnest(CAST(:channels AS text[])) AS asked (channel)
)
SELECT c.channel, CAST(sum(c.due) AS bigint), CAST(sum(c.leased) AS bigint), CAST(sum(c.scheduled) AS bigint),
       CAST(sum(c.retrying) AS bigint), CAST(sum(c.blocked) AS bigint),
       CASE WHEN sum(c.due) > 0 THEN max(c.oldest_due) END,
       CAST(sum(c.dead) AS bigint), CAST(sum(c.workers) AS bigint),
       CAST(sum(c.gathering) AS bigint)
FROM counted c
WHERE CAST(:channels AS text[]) IS NULL OR c.channel = ANY (CAST(:channels AS text[]))
GROUP BY c.channel
ORDER BY c.channel
"""

WORKERS = """
SELECT w.id, w.host, w.pid, w.version, array_to_json(w.channels), array_to_json(w.idle), w.started_at,
       date_part('epoch', statement_timestamp() - w.started_at), date_part('epoch', statement_timestamp() - w.seen_at)
FROM outbox.workers w
WHERE w.seen_at > statement_timestamp() - interval '1 minute'
  AND (CAST(:channels AS text[]) IS NULL OR w.channels && CAST(:channels AS text[]))
ORDER BY w.id
"""

FAILING = """
SELECT s.name, s.failures, s.problem
FROM outbox.schedules s
WHERE s.failures > 0 AND s.paused_at IS NULL
ORDER BY s.name
"""

STRAYS = """
SELECT (SELECT count(*) FROM outbox.notifications_default), (SELECT count(*) FROM outbox.attempts_default)
"""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel's counts. Each notification that has not ended is in exactly one of the first five."""

    channel: str
    due: int
    """To be sent now, those included whose worker vanished."""
    leased: int
    """In a worker's hands."""
    scheduled: int
    """For later, with no attempt used: not tried yet, or put off."""
    retrying: int
    """For later, with some attempts used."""
    blocked: int
    """Behind an earlier one with the same ordering key."""
    oldest_due: float | None
    """Seconds that the oldest of those due has been waiting; None when none is due."""
    dead: int
    """Open dead letters."""
    workers: int
    """Workers that serve it and were seen in the last minute."""
    gathering: int
    """Open windows of digests: each will be a notification when it closes."""

    @property
    def waiting(self) -> int:
        """How many have not ended and are in nobody's hands."""
        return self.due + self.scheduled + self.retrying + self.blocked


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker that was seen in the last minute. `idle` are the channels on which it sleeps."""

    id: int
    host: str
    pid: int
    version: str
    channels: Sequence[str]
    idle: Sequence[str]
    started_at: datetime
    up: float
    """Seconds since it started."""
    seen: float
    """Seconds since its last heartbeat."""


@dataclass(frozen=True, slots=True)
class Strays:
    """How many rows lie in the DEFAULT partitions, because no partition of their day was made in time."""

    notifications: int
    attempts: int


@dataclass(frozen=True, slots=True)
class FailingSchedule:
    """A schedule whose query failed, so often in a row, and why it did last."""

    name: str
    failures: int
    problem: str


class Level(Protocol):
    """The counts of a part of a channel, such as one of its priorities."""

    @property
    def due(self) -> int: ...  # noqa: D102 - these are those of a channel
    @property
    def leased(self) -> int: ...  # noqa: D102
    @property
    def scheduled(self) -> int: ...  # noqa: D102
    @property
    def retrying(self) -> int: ...  # noqa: D102
    @property
    def blocked(self) -> int: ...  # noqa: D102
    @property
    def oldest_due(self) -> float | None: ...  # noqa: D102


def add_up(channel: str, levels: Sequence[Level], *, workers: int, dead: int = 0) -> Channel:
    """Return the counts of a channel from those of its parts; nobody has counted its open windows."""
    return Channel(
        channel=channel,
        due=sum(each.due for each in levels),
        leased=sum(each.leased for each in levels),
        scheduled=sum(each.scheduled for each in levels),
        retrying=sum(each.retrying for each in levels),
        blocked=sum(each.blocked for each in levels),
        oldest_due=max((each.oldest_due for each in levels if each.oldest_due is not None), default=None),
        dead=dead,
        workers=workers,
        gathering=0,
    )


def count_channels(conn: Any, channels: Sequence[str] | None = None) -> list[Channel]:
    """Return the counts of the given channels, or of every one that has work, open dead letters or a live worker.

    Raises:
        NotMigrated: the database has no outbox.
    """
    rows = connections.run(conn, COUNT, {"channels": _texts(channels)}, allow_autocommit=True)
    return [Channel(*row) for row in rows]


def live_workers(conn: Any, channels: Sequence[str] | None = None) -> list[LiveWorker]:
    """Return the workers that were seen in the last minute, and serve one of the channels, if any are given.

    Raises:
        NotMigrated: the database has no outbox.
    """
    rows = connections.run(conn, WORKERS, {"channels": _texts(channels)}, allow_autocommit=True)
    return [LiveWorker(*row) for row in rows]


def failing_schedules(conn: Any) -> list[FailingSchedule]:
    """Return the schedules that failed when they ran last, and are tried again.

    Raises:
        NotMigrated: the database has no outbox.
    """
    return [FailingSchedule(*row) for row in connections.run(conn, FAILING, {}, allow_autocommit=True)]


def count_strays(conn: Any) -> Strays:
    """Return how many rows lie in the DEFAULT partitions.

    Raises:
        NotMigrated: the database has no outbox.
    """
    return Strays(*connections.run(conn, STRAYS, {}, allow_autocommit=True)[0])


def _texts(channels: Sequence[str] | None) -> list[str | None] | None:
    return list(channels) if channels else None
