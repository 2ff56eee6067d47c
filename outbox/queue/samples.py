"""samples: how it went in the last hours and days, for charts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import connections
from outbox.latencies import quantile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

# Counts are added up within a step, histograms number by number, and of what was measured the last stands for it.
SAMPLES = """
WITH chosen AS MATERIALIZED (
    SELECT date_bin(CAST(:step AS interval), s.at, 'epoch') AS step, s.at, s.channel,
           CASE WHEN CAST(:by_provider AS boolean) THEN s.provider ELSE '' END AS provider,
           s.sent, s.failed, s.retried, s.dead, s.untried, s.delivery,
           s.waiting, s.due, s.leased, s.dead_letters, s.oldest_due_seconds
    FROM outbox.samples s
    WHERE s.at >= coalesce(CAST(:since AS timestamptz), statement_timestamp() - CAST(:past AS interval))
      AND (CAST(:channels AS text[]) IS NULL OR s.channel = ANY (CAST(:channels AS text[])))
), took AS (
    SELECT d.step, d.channel, d.provider, array_agg(d.count ORDER BY d.place) AS delivery
    FROM (
        SELECT c.step, c.channel, c.provider, n.place, sum(n.count) AS count
        FROM chosen c CROSS JOIN unnest(c.delivery) WITH ORDINALITY AS n (count, place)
        GROUP BY c.step, c.channel, c.provider, n.place
    ) d
    GROUP BY d.step, d.channel, d.provider
), counted AS (
    SELECT c.step, c.channel, c.provider, sum(c.sent) AS sent, sum(c.failed) AS failed, sum(c.retried) AS retried,
           sum(c.dead) AS dead, sum(c.untried) AS untried,
           (array_agg(ARRAY[c.waiting, c.due, c.leased, c.dead_letters] ORDER BY c.at DESC)
            FILTER (WHERE c.waiting IS NOT NULL))[1:1] AS measured,
           (array_agg(c.oldest_due_seconds ORDER BY c.at DESC) FILTER (WHERE c.waiting IS NOT NULL))[1] AS oldest
    FROM chosen c
    GROUP BY c.step, c.channel, c.provider
)
SELECT c.step, c.channel, c.provider, CAST(c.sent AS bigint), CAST(c.failed AS bigint), CAST(c.retried AS bigint),
       CAST(c.dead AS bigint), CAST(c.untried AS bigint), c.measured[1][1], c.measured[1][2], c.measured[1][3],
       c.measured[1][4], c.oldest, CAST(array_to_json(t.delivery) AS text)
FROM counted c
LEFT JOIN took t ON t.step = c.step AND t.channel = c.channel AND t.provider = c.provider
ORDER BY c.step, c.channel, c.provider
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One channel, for a minute or a longer step; of one provider, if asked for by provider."""

    at: datetime
    """When it began."""
    channel: str
    provider: str
    """Empty for the whole channel; by provider, for what no provider was asked for."""
    sent: int
    failed: int
    """Tried, and not accepted as far as anybody knows: tried again, given up, or in doubt."""
    retried: int
    """Those of them that are due again."""
    dead: int
    """Given up, tried or not."""
    untried: int
    """Ended with nothing tried: deferred, suppressed, expired or cancelled."""
    waiting: int | None
    """At the end of it, in nobody's hands; None on a provider's own, as are the next four, or when nobody measured."""
    due: int | None
    leased: int | None
    dead_letters: int | None
    oldest_due: float | None
    """Seconds that the oldest of those due had been waiting; None when none was."""
    latencies: Sequence[int]
    """How long deliveries took, as in `outbox.latencies`."""

    @property
    def p50(self) -> float | None:
        """Within how many seconds half of the deliveries were done; None if there were none."""
        return quantile(self.latencies, 0.5)

    @property
    def p99(self) -> float | None:
        """Within how many seconds 99 in 100 of them were."""
        return quantile(self.latencies, 0.99)


def samples(
    conn: Any,
    *,
    since: datetime | timedelta,
    step: float = 60.0,
    by_provider: bool = False,
    channels: Sequence[str] | None = None,
) -> list[Sample]:
    """Return what was noted from `since` on, a moment or so long ago, in order; it is kept for 14 days.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        since: a moment, with its time zone, or how long ago.
        step: seconds that one sample is to be about, a minute at least. The last one may not be over yet.
        by_provider: whether to tell providers apart.
        channels: these alone.

    Raises:
        ValueError: `since` has no time zone, or `step` is less than a minute.
        NotMigrated: the database has no outbox.
    """
    if step < 60:  # noqa: PLR2004 - a minute is what there is a row for
        raise ValueError(f"step must be at least 60 seconds, not {step:g}")
    moment, past = _told(since)
    parameters: dict[str, str | list[str | None] | None] = {
        "since": moment,
        "past": past,
        "step": f"{step} seconds",
        "by_provider": str(by_provider),
        "channels": list(channels) if channels else None,
    }
    rows = connections.run(conn, SAMPLES, parameters, allow_autocommit=True)
    return [_sample(row) for row in rows]


def _told(since: Any) -> tuple[str | None, str | None]:
    if hasattr(since, "total_seconds"):
        return None, f"{since.total_seconds()} seconds"
    if since.tzinfo is None:
        raise ValueError("since must have a time zone, such as datetime.now(UTC) has")
    return since.isoformat(), None


def _sample(row: Sequence[Any]) -> Sample:
    return Sample(*(*row[:-1], json.loads(row[-1]) if row[-1] else []))
