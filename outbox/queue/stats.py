"""stats: how the attempts of some time ended, by what, and how long they took. This only reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

# What ended in this time may have been enqueued on any day before. Each day's index of finished_at names the ranges of
# blocks that can hold something of it, and no others are read.
STATS = """
SELECT CASE CAST(:by AS text)
           WHEN 'channel' THEN n.channel
           WHEN 'provider' THEN a.provider
           WHEN 'template' THEN n.template
           WHEN 'topic' THEN n.topic
           WHEN 'class' THEN a.error_class
           ELSE to_char(date_trunc('hour', a.finished_at AT TIME ZONE 'UTC'), 'YYYY-MM-DD"T"HH24":00Z"')
       END AS value,
       count(*) FILTER (WHERE a.outcome = 'sent'), count(*) FILTER (WHERE a.outcome = 'retry'),
       count(*) FILTER (WHERE a.outcome = 'dead'), count(*) FILTER (WHERE a.outcome = 'ambiguous'),
       count(*) FILTER (WHERE a.outcome = 'lost'), count(*) FILTER (WHERE a.outcome = 'deferred'),
       count(*) FILTER (WHERE a.outcome = 'suppressed'), count(*) FILTER (WHERE a.outcome = 'expired'),
       count(*) FILTER (WHERE a.outcome = 'cancelled'),
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY
           CASE WHEN a.provider IS NOT NULL THEN date_part('epoch', a.finished_at - a.started_at) END),
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY
           CASE WHEN a.outcome = 'sent'
                THEN greatest(date_part('epoch', a.finished_at - greatest(n.run_at, n.created_at)), 0) END)
FROM outbox.attempts a
LEFT JOIN outbox.notifications n ON n.id = a.notification_id
WHERE a.finished_at > statement_timestamp() - make_interval(secs => CAST(CAST(:seconds AS text) AS float8))
  AND (CAST(:channels AS text[]) IS NULL OR n.channel = ANY (CAST(:channels AS text[])))
GROUP BY 1
ORDER BY CASE WHEN CAST(:by AS text) = 'hour' THEN 0 ELSE count(*) END DESC, 1
"""

BY = ("channel", "provider", "template", "class", "topic", "hour")
"""What attempts can be counted by."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The attempts that have one value in common; `value` None are those that have none."""

    value: str | None
    sent: int
    retry: int
    dead: int
    ambiguous: int
    lost: int
    deferred: int
    suppressed: int
    expired: int
    cancelled: int
    delivery: tuple[float, float, float] | None
    """Seconds within which half, 95 and 99 in 100 of the answers of providers came."""
    end_to_end: tuple[float, float, float] | None
    """Seconds within which half, 95 and 99 in 100 were sent, since they were enqueued, or were to be sent."""

    @property
    def failed(self) -> int:
        """How many attempts failed, whatever came of their notifications later."""
        return self.retry + self.dead + self.ambiguous + self.lost

    @property
    def failure_ratio(self) -> float | None:
        """Failed ones among those that were sent or failed; None where there are neither."""
        tried = self.sent + self.failed
        return self.failed / tried if tried else None


def stats(conn: Any, *, since: timedelta, by: str, channels: Sequence[str] = ()) -> list[Stats]:
    """Return how the attempts ended that did so since then, the most frequent value of `by` first, hours in order.

    It reads all of them: on a connection that has a `statement_timeout`, it ends as that says.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        since: how far back.
        by: one of `BY`.
        channels: only these.

    Raises:
        ValueError: `by` is none of these.
        NotMigrated: the database has no outbox.
    """
    if by not in BY:
        raise ValueError(f"by is one of {', '.join(BY)}, not {by!r}")
    asked: connections.Parameters = {
        "by": by, "seconds": str(since.total_seconds()), "channels": list(channels) or None
    }  # fmt: skip
    return [_stats(row) for row in connections.run(conn, STATS, asked, allow_autocommit=True)]


def _stats(row: Sequence[Any]) -> Stats:
    return Stats(*(*row[:10], _percentiles(row[10]), _percentiles(row[11])))


def _percentiles(values: Sequence[float | None] | None) -> tuple[float, float, float] | None:
    if values is None or any(value is None for value in values):
        return None
    return tuple(float(value) for value in values if value is not None)  # type: ignore[return-value]
