"""Latency: one client enqueues at a steady rate, one worker process is idle and waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox.bench.measured import Latency
from outbox.bench.summary import percentile
from outbox.bench.trouble import BenchError
from outbox.latencies import bucket, trimmed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.bench.plan import Plan
    from outbox.bench.staff import Staff

_CHANNEL = "flow"
_LAST = 0.5  # seconds that the last ones have to arrive in
_BUCKETS = 64


def flow(plan: Plan, staff: Staff, rate: float) -> Latency:
    """Let a steady stream through, and return how long it took to arrive.

    Raises:
        BenchError: nothing arrived.
    """
    limit = plan.flowing * 2 + 60
    workers = staff.hire(_CHANNEL, 1, drain=False, limit=limit)
    staff.begin(workers)
    (sent,) = staff.ask("enqueue-steadily", channel=_CHANNEL, rate=rate, seconds=plan.flowing, limit=limit)
    staff.ask("look", seconds=_LAST, limit=_LAST)
    staff.dismiss(workers)
    (received,) = staff.results(workers, limit)
    return arrivals(sent, received["begun"], rate)


def arrivals(sent: Mapping[str, Any], begun: Sequence[tuple[int, float]], rate: float) -> Latency:
    """Return how long each took from its commit to the provider; a handler may be quicker than the COMMIT's answer.

    Raises:
        BenchError: nothing arrived.
    """
    committed: Sequence[float] = sent["committed"]
    took = [max(moment - committed[number], 0.0) for number, moment in begun]
    if not took:
        raise BenchError("the worker delivered nothing of what was enqueued steadily: try again with more --seconds")
    histogram = [0] * _BUCKETS
    for seconds in took:
        histogram[bucket(seconds)] += 1
    return Latency(
        rate=rate,
        asked=len(committed),
        arrived=len(took),
        p50=percentile(took, 50),
        p99=percentile(took, 99),
        longest=max(took),
        histogram=trimmed(histogram),
        late=sent["late"] / len(committed),
    )
