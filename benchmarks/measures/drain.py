"""Work off a queue that is full, until it is empty and every completion is written."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from benchmarks.errors import Failed
from benchmarks.measures.bulk import fill
from benchmarks.measures.costs import a_job

if TYPE_CHECKING:
    from benchmarks.cell import Cell

_LIMIT = 120.0  # seconds


def measure(cell: Cell, *, processes: int) -> dict[str, Any]:
    """Return jobs a second of handlers that do nothing, and what each job cost from its enqueue to its end."""
    return _measure(cell, cell.count("drain", cell.scale.jobs), processes, sleep_ms=0)


def measure_sleeping(cell: Cell) -> dict[str, Any]:
    """Return jobs a second of handlers that wait for 50 ms without using the CPU, in one process."""
    return _measure(cell, cell.count("sleep", cell.scale.sleeping_jobs), 1, sleep_ms=50)


def _measure(cell: Cell, jobs: int, processes: int, sleep_ms: int) -> dict[str, Any]:
    filled = fill(cell, jobs)
    cell.ground.analyze()
    before = cell.ground.cost()
    with ExitStack() as stack:
        options = ("--count", jobs, "--sleep-ms", sleep_ms)
        workers = [stack.enter_context(cell.start("work", *options, limit=_LIMIT)) for _ in range(processes)]
        for worker in workers:
            worker.wait_until_ready()
        for worker in workers:
            worker.go()
        ended = [worker.result() for worker in workers]
    cost = cell.ground.cost() - before
    handled = sum(one.line["jobs"] for one in ended)
    if handled != jobs:
        raise Failed(f"{jobs:,} jobs were enqueued, and {handled:,} handled")
    busy = [one.line for one in ended if one.line["jobs"]]
    seconds = max(line["last"] for line in busy) - min(line["first"] for line in busy)
    costs = a_job(jobs, sum(one.cpu for one in ended), cost)
    together = None if costs["wal"] is None else filled["wal"] + costs["wal"]
    return {
        "jobs": jobs,
        "rate": jobs / seconds,
        "wal_with_enqueue": together,
        "settings": ended[0].line.get("settings", ""),
    } | costs
