"""Costs a job: what the clients and the server spent, divided by the jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.server import Cost


def a_job(jobs: int, client_cpu: float, cost: Cost) -> dict[str, Any]:
    """Return microseconds of CPU, bytes of WAL and dead tuples for each of the jobs."""
    return {
        "client_us": client_cpu * 1e6 / jobs,
        "server_us": cost.cpu * 1e6 / jobs,
        "wal": None if cost.wal is None else cost.wal / jobs,
        "dead": None if cost.dead is None else cost.dead / jobs,
    }
