"""known: what the database knows of the whole fleet, read when somebody asks for the metrics.

It belongs to no process, and every one that serves metrics tells the same: so `max` over them, never `sum`.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from outbox.errors import NotMigrated
from outbox.queue.depths import Depth, Gauge, depths, gauges
from outbox.queue.inspect import live_workers
from outbox.queue.paused import Pause, list_pauses
from outbox.silence import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client import Metric

_PATIENCE = 2.0  # seconds to connect, and as long again for all answers: Prometheus gives up after 10
_FRESH = 5.0  # several who ask are told the same
_STATES = ("due", "leased", "scheduled", "retrying", "blocked")
_OF_TABLES = {
    "queue_dead_tuples": "Dead tuples of the queue that no vacuum has removed yet, as the statistics say.",
    "oldest_snapshot_seconds": "For how long the oldest transaction has been open that keeps dead tuples from removal.",
    "default_partition_rows": "Rows in the DEFAULT partitions, where they lie when no partition was made in time.",
    "partitions_ahead_days": "Days from now on that have their partitions.",
}


class _Facts(NamedTuple):
    depths: Sequence[Depth]
    gauges: Sequence[Gauge]
    workers: Sequence[str]
    """A channel for each worker that serves it."""
    pauses: Sequence[Pause]


class Known(Collector):
    """A collector of what the database at a URL knows of the fleet, and whether it could be asked."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._one_at_a_time = threading.Lock()
        self._facts: _Facts | None = None
        self._asked_at = -_FRESH

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the fleet; when the database does not answer, only that."""
        with self._one_at_a_time:
            if time.monotonic() >= self._asked_at + _FRESH:
                self._facts, self._asked_at = self._ask(), time.monotonic()
            facts = self._facts
        yield GaugeMetricFamily(
            "outbox_fleet_known", "Whether the database could be asked about the fleet.", float(facts is not None)
        )
        if facts is not None:
            yield from _of_the_queue(facts)
            yield from _of_the_tables(facts.gauges)

    def _ask(self) -> _Facts | None:
        try:
            with psycopg.connect(
                self._url,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=int(_PATIENCE),
                application_name="outbox metrics",
            ) as conn:
                limit = threading.Timer(_PATIENCE, cut, [conn])
                limit.daemon = True
                limit.start()
                try:
                    return _read(conn)
                finally:
                    limit.cancel()
        except (psycopg.Error, OSError, NotMigrated):
            return None


def _read(conn: Any) -> _Facts:
    served = [channel for worker in live_workers(conn) for channel in worker.channels]
    return _Facts(depths(conn), gauges(conn), served, list_pauses(conn))


def _of_the_queue(facts: _Facts) -> Iterable[Metric]:
    depth = _family("queue_depth", "Notifications that have not ended.", "channel", "priority", "state")
    oldest = _family("oldest_due_seconds", "For how long the oldest that is due has waited; 0 if none is.", "channel")
    workers = _family("workers", "Live workers that serve the channel.", "channel")
    open_ = _family("dead_letters_open", "Dead letters that nobody has dealt with.", "channel")
    paused = _family("paused", "1 while somebody has paused it.", "scope", "name")
    age = _family("depth_age_seconds", "Since when the depth of the queue was measured.")
    longest: dict[str, float] = {}
    for it in facts.depths:
        for state in _STATES:
            depth.add_metric([it.channel, str(it.priority), state], getattr(it, state))
        longest[it.channel] = max(longest.get(it.channel, 0.0), it.oldest_due or 0.0)
    for channel, seconds in longest.items():
        oldest.add_metric([channel], seconds)
    for channel in sorted({*longest, *facts.workers}):
        workers.add_metric([channel], facts.workers.count(channel))
    for gauge in facts.gauges:
        if gauge.name == "dead_letters_open":
            open_.add_metric([gauge.channel], gauge.value)
    for pause in facts.pauses:
        paused.add_metric([pause.scope, pause.name], 1.0)
    if facts.depths:
        age.add_metric([], max(it.age for it in facts.depths))
    return depth, oldest, workers, open_, paused, age


def _of_the_tables(found: Iterable[Gauge]) -> Iterator[Metric]:
    for gauge in found:
        if gauge.name in _OF_TABLES:
            family = _family(gauge.name, _OF_TABLES[gauge.name])
            family.add_metric([], gauge.value)
            yield family


def _family(name: str, what: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"outbox_{name}", what, labels=labels)
