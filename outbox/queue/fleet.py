"""fleet: the live workers, with what each reports of itself, and what all of them say together."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from outbox import connections
from outbox.latencies import merged, quantile
from outbox.reports import Report, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

# What the worker's clock said, and what ours did when that was written. A report is written with seen_at, always.
WORKERS = """
SELECT w.id, w.host, w.pid, w.version, array_to_json(w.channels), array_to_json(w.idle), w.started_at, w.seen_at,
       date_part('epoch', statement_timestamp() - w.started_at), date_part('epoch', statement_timestamp() - w.seen_at),
       CAST(w.report->>'clock' AS double precision) - date_part('epoch', w.seen_at), CAST(w.report AS text)
FROM outbox.workers w
WHERE w.seen_at > statement_timestamp() - make_interval(secs => CAST(CAST(:within AS text) AS float8))
  AND (CAST(:channels AS text[]) IS NULL OR w.channels && CAST(:channels AS text[]))
ORDER BY w.id
"""

LIVE = 60.0
"""Seconds since its last heartbeat up to which a worker counts as alive."""
RECENT = 30.0
"""Seconds since its last heartbeat after which what a worker did in its last seconds is counted no more."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that was seen in the last minute."""

    id: int
    host: str
    pid: int
    version: str
    channels: Sequence[str]
    idle: Sequence[str]
    """Those on which it sleeps."""
    started_at: datetime
    seen_at: datetime
    up: float
    """Seconds since it started."""
    seen: float
    """Seconds since its last heartbeat."""
    skew: float | None
    """Seconds by which its clock is ahead of the database's, give or take a round trip. None before it reported."""
    report: Report | None
    """None before its first report, or from a version that makes none."""

    @property
    def in_hand(self) -> int:
        """How many it holds."""
        return sum(it.ready + it.sending for it in self.report.in_hand.values()) if self.report else 0


@dataclass(frozen=True, slots=True)
class Held:
    """A provider that one worker holds: nothing goes through it but probes."""

    worker: int
    channel: str
    provider: str
    error_class: str
    code: str | None
    since: datetime
    probe_at: datetime
    """When it is probed next; in the past while a probe is under way, or there is nothing to probe it with."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What all workers together did in their last ten seconds or so, and since they started."""

    per_second: float
    """How many ended in these seconds."""
    total: int
    """Since the workers started that are alive now."""
    latencies: Sequence[int]
    """How long those of the last seconds took that a provider was asked for, as in `outbox.latencies`."""

    @property
    def p50(self) -> float | None:
        """Within how many seconds half of the deliveries were done; None if there were none."""
        return quantile(self.latencies, 0.5)

    @property
    def p99(self) -> float | None:
        """Within how many seconds 99 in 100 of them were."""
        return quantile(self.latencies, 0.99)


@dataclass(frozen=True, slots=True)
class Fleet:
    """All live workers."""

    workers: tuple[Worker, ...]

    def traffic(self, by: Callable[[Tally], Any], only: Callable[[Tally], bool] | None = None) -> dict[Any, Traffic]:
        """Return what they did, by whatever `by` makes of a tally: its channel, its outcome, both.

        `fleet.traffic(lambda it: (it.channel, it.provider), lambda it: it.outcome == "sent")`
        """
        some: Mapping[Any, list[tuple[float, Tally]]] = defaultdict(list)
        for worker in self.workers:
            for tally in worker.report.tallies if worker.report else ():
                if only is None or only(tally):
                    window = worker.report.window if worker.report and worker.seen <= RECENT else 0.0
                    some[by(tally)].append((window, tally))
        return {key: _traffic(each) for key, each in some.items()}

    def held(self) -> list[Held]:
        """Return which providers are held, by whom, and why, by channel and provider."""
        found = [
            Held(
                worker.id,
                hold.channel,
                hold.provider,
                hold.error_class,
                hold.code,
                worker.seen_at - timedelta(seconds=hold.held_for),
                worker.seen_at + timedelta(seconds=hold.probe_in),
            )
            for worker in self.workers
            for hold in (worker.report.holds if worker.report else ())
        ]
        return sorted(found, key=lambda hold: (hold.channel, hold.provider, hold.worker))

    def in_hand(self) -> dict[str, int]:
        """Return how many notifications of each channel are in workers' hands."""
        counts: dict[str, int] = defaultdict(int)
        for worker in self.workers:
            for channel, it in (worker.report.in_hand if worker.report else {}).items():
                counts[channel] += it.ready + it.sending
        return dict(counts)


def fleet(conn: Any, channels: Sequence[str] | None = None, *, within: float = LIVE) -> Fleet:
    """Return the workers that were seen in the last minute, and serve one of the channels, if any are given.

    `within` so many seconds, vanished ones are there as well, up to ten minutes, after which they are struck off.

    A worker reports with each heartbeat, and every five seconds in which something has changed.

    Raises:
        NotMigrated: the database has no outbox.
    """
    given: list[str | None] | None = list(channels) if channels else None
    rows = connections.run(conn, WORKERS, {"channels": given, "within": str(within)}, allow_autocommit=True)
    return Fleet(tuple(_worker(row) for row in rows))


def _worker(row: Sequence[Any]) -> Worker:
    return Worker(*(*row[:-1], Report.from_json(json.loads(row[-1])) if row[-1] else None))


def _traffic(some: Sequence[tuple[float, Tally]]) -> Traffic:
    alive = [(window, tally) for window, tally in some if window > 0]
    return Traffic(
        per_second=sum(tally.recent / window for window, tally in alive),
        total=sum(tally.total for _, tally in some),
        latencies=merged(tally.latencies for _, tally in alive),
    )
