"""Enqueue one at a time, each in a transaction of its own, from several clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.measures.costs import a_job

if TYPE_CHECKING:
    from benchmarks.cell import Cell


def measure(cell: Cell, *, clients: int) -> dict[str, Any]:
    """Return jobs a second, and what each cost."""
    seconds = cell.scale.enqueue_seconds
    before = cell.ground.cost()
    ended = cell.call("enqueue", "--clients", clients, "--seconds", seconds, limit=seconds + 30)
    cost = cell.ground.cost() - before
    jobs = ended.line["jobs"]
    return {"jobs": jobs, "rate": jobs / ended.line["seconds"]} | a_job(jobs, ended.cpu, cost)
