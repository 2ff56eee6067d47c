"""Throughput by windows while somebody holds a snapshot open, and the same without.

A backup, an analyst or a forgotten psql keeps every row version that has died since: a queue that walks over them
becomes slower by the second.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.measures.steadily import consuming, flow, moments
from benchmarks.processes import Process
from benchmarks.summary import by_window, percentile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.cell import Cell

_FULL = 60_000  # jobs
_BATCH = 10  # jobs a transaction of the steady producer's
_GRACE = 30.0  # seconds


def saturated(cell: Cell, *, held: bool) -> dict[str, Any]:
    """Return how many handlers began a second, window by window, while the queue was always full."""
    scale = cell.scale
    seconds = scale.warm_up_seconds + scale.held_seconds
    command = [*(cell.contender.refill or cell.contender.command), "refill", "--url", cell.ground.url]
    options = ["--seconds", str(seconds), "--high", str(_FULL)]
    with Process([*command, *options], limit=seconds + _GRACE) as refill:
        refill.wait_until_ready()
        cell.ground.analyze()
        refill.go()
        with consuming(cell, seconds) as (consumer, begun):
            time.sleep(scale.warm_up_seconds)
            with _snapshot(cell.ground.url, held=held):
                began = time.monotonic()
                consumed = consumer.result()
        refill.result()
    rates = _windows(cell, [moment for _, moment in moments(begun)], began)
    ratio = rates[-1] / rates[0] if rates[0] else None
    return {"windows": rates, "ratio": ratio, "settings": consumed.line.get("settings", "")} | _claims(
        cell, begun, began
    )


def steady(cell: Cell, *, held: bool) -> dict[str, Any]:
    """Return the same at a steady rate, with the greatest backlog in seconds of that rate."""
    scale = cell.scale
    seconds = scale.warm_up_seconds + scale.held_seconds
    with _snapshot(cell.ground.url, held=held):
        flowed, produced, _ = flow(cell, rate=scale.steady_rate, seconds=seconds, batch=_BATCH)
    began = min(flowed.committed.values()) + scale.warm_up_seconds
    looks = [began + step * 0.25 for step in range(int(scale.held_seconds * 4))]
    milliseconds = [latency * 1e3 for latency in flowed.latencies()]
    return {
        "windows": _windows(cell, list(flowed.begun.values()), began),
        "backlog_seconds": max(flowed.backlog(looks)) / scale.steady_rate,
        "late": produced.line["late"],
        "p50": percentile(milliseconds, 50),
        "p99": percentile(milliseconds, 99),
    } | _claims(cell, cell.folder / "begun.json", began)


@contextmanager
def _snapshot(url: str, *, held: bool) -> Iterator[None]:
    """Hold a snapshot of the database, where that is wanted."""
    if not held:
        yield
        return
    with psycopg.connect(url) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.execute("SELECT count(*) FROM pg_class")
        yield
        conn.rollback()


def _windows(cell: Cell, begun: list[float], began: float) -> list[float]:
    scale = cell.scale
    return by_window(begun, began, scale.window_seconds, round(scale.held_seconds / scale.window_seconds))


def _claims(cell: Cell, begun: Path, began: float) -> dict[str, Any]:
    """Return the 99th percentile of the milliseconds that a claim took in the last third, where claims are told."""
    file = begun.with_suffix(".claims.json")
    if not file.exists():
        return {}
    claims = json.loads(file.read_text(encoding="utf-8"))
    late = [seconds * 1e3 for moment, seconds in claims if moment - began > cell.scale.held_seconds * 2 / 3]
    return {"claim_p99": percentile(late, 99)} if late else {}
