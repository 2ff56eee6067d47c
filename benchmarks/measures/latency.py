"""Latency: from the moment that the enqueue's commit has returned to the start of the handler, at a steady 500/s."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.contenders import OUTBOX
from benchmarks.errors import Failed
from benchmarks.measures.costs import a_job
from benchmarks.measures.steadily import flow
from benchmarks.summary import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.cell import Cell

_RATE = 500
_CHANNEL = "bench"  # of the notifications, which is what an enqueue's NOTIFY says


def measure(cell: Cell) -> dict[str, Any]:
    """Return percentiles in milliseconds, and what each job cost."""
    before = cell.ground.cost()
    with ExitStack() as stack:
        heard = stack.enter_context(_notifications(cell)) if cell.contender.name == OUTBOX else None
        flowed, produced, consumed = flow(cell, rate=_RATE, seconds=cell.scale.latency_seconds)
    cost = cell.ground.cost() - before
    jobs = len(flowed.committed)
    if len(flowed.begun) < jobs:
        raise Failed(f"{jobs:,} jobs were enqueued, and {len(flowed.begun):,} begun in time")
    milliseconds = [seconds * 1e3 for seconds in flowed.latencies()]
    return {
        "jobs": jobs,
        "late": flowed.late,
        "p50": percentile(milliseconds, 50),
        "p99": percentile(milliseconds, 99),
        "notifies": heard and heard[0] / jobs,
        "settings": consumed.line.get("settings", ""),
    } | a_job(jobs, produced.cpu + consumed.cpu, cost)


@contextmanager
def _notifications(cell: Cell) -> Iterator[list[int]]:
    """Yield a list whose one number is in the end how many enqueues have notified."""
    heard = [0]
    with psycopg.connect(cell.ground.url, autocommit=True) as conn:
        conn.execute("LISTEN outbox")
        yield heard
        heard[0] = sum(notice.payload == _CHANNEL for notice in conn.notifies(timeout=0))
