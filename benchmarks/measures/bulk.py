"""Enqueue many at once, by the fastest way that the system's interface has; with a unique key each, where it can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.measures.costs import a_job

if TYPE_CHECKING:
    from benchmarks.cell import Cell


def measure(cell: Cell, *, keyed: bool) -> dict[str, Any]:
    """Return rows a second, and what each cost."""
    return fill(cell, cell.count("bulk", cell.scale.jobs), keyed=keyed)


def fill(cell: Cell, jobs: int, *, keyed: bool = False) -> dict[str, Any]:
    """Enqueue so many, and return how that went."""
    before = cell.ground.cost()
    ended = cell.call("bulk", "--count", jobs, *(["--keyed"] if keyed else []))
    cost = cell.ground.cost() - before
    return {"jobs": jobs, "rate": jobs / ended.line["seconds"]} | a_job(jobs, ended.cpu, cost)
