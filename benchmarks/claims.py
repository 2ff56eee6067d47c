"""How long a claim takes beside millions of waiting rows: `python -m benchmarks.claims`.

A cluster of its own with two databases. The queue of one holds only what is claimed; that of the other all the rows as
well, one in ten of them scheduled at urgent, the others due behind what is claimed. Claims take turns between the two,
so that whatever else the machine does slows both alike. Each is committed, settled, and made up for by as many new
notifications. Only the rows that are claimed have their notification: a claim reads no other. Autovacuum leaves the
queues alone, so that their statistics are what the table says, and nothing that claims leave behind is cleared away.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.errors import Failed
from outbox import migrate
from outbox.database import Link
from outbox.devdb import LocalPostgres
from outbox.outcomes import Sent
from outbox.queue.claim import claim
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement
from outbox.worker.marks import Marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection

    from outbox.queue.claim import Claimed

SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
_LEVELS = tuple(range(10))
_SIZES = (1, 100, 500)
_WARM_UP = 15  # claims after which each plan is kept
_SLICE = 500_000
_WORKER = 1

_ENQUEUE = """
INSERT INTO outbox.notifications (channel, recipient, template, payload, run_at)
SELECT 'email', 'user' || n || '@example.org', 'welcome',
       jsonb_build_object('name', 'Ada', 'text', repeat('x', 250)), clock_timestamp() - %s::interval
FROM generate_series(1, %s) AS n
"""
_WAIT = """
INSERT INTO outbox.queue (id, channel, priority, run_at)
SELECT outbox.uuid7(), 'email', CASE WHEN n %% 10 = 0 THEN 0 ELSE 5 END,
       now() + n * interval '1 us' + CASE WHEN n %% 10 = 0 THEN interval '1 day' ELSE interval '-1 hour' END
FROM generate_series(%s::bigint, %s::bigint) AS n
"""
# What is left of them after a queue was emptied and its pages were kept: it counts as empty, at any length.
_STALE = """
UPDATE pg_class SET reltuples = 0, relpages = 1 WHERE oid = 'outbox.queue'::regclass;
DELETE FROM pg_statistic WHERE starelid = 'outbox.queue'::regclass;
"""


class Cell(NamedTuple):
    """What claims of one size took from both queues, in milliseconds and in order."""

    statistics: str
    looks: str
    size: int
    alone: list[float]
    beside: list[float]


class Queue:
    """A database, and the connection that claims from it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._link = Link(url, "claim", lambda _: None, lookups_only=True)
        self._marks: Marks | None = None
        migrate.upgrade(url)
        self._execute("ALTER TABLE outbox.queue SET (autovacuum_enabled = false)")

    def enqueue(self, count: int, ago: str = "0") -> None:
        """Enqueue so many, each with its notification."""
        self._execute(_ENQUEUE, ago, count)

    def fill(self, rows: int, progress: Progress) -> None:
        """Let so many wait that nobody comes to."""
        task = progress.add_task("rows that wait", total=rows)
        for first in range(1, rows + 1, _SLICE):
            last = min(first + _SLICE - 1, rows)
            self._execute(_WAIT, first, last)
            progress.update(task, completed=last)

    def analyze(self) -> None:
        """Give the planner true statistics, and write everything out, so that no claim pays for the filling."""
        with psycopg.connect(self._url, autocommit=True) as conn:
            for table in ("queue", "notifications"):
                conn.execute(f"VACUUM ANALYZE outbox.{table}".encode())
            conn.execute("CHECKPOINT")

    def forget(self) -> None:
        """Take the statistics away."""
        self._execute(_STALE)

    async def begin(self, marks: Marks | None) -> None:
        """Claim from now on by these marks, on a new connection whose plan has been kept."""
        await self._link.aclose()
        self._marks = marks
        for _ in range(_WARM_UP):
            await self.claim(1)

    async def claim(self, size: int) -> float:
        """Claim so many, settle them, and enqueue as many; return the milliseconds of the claim."""
        milliseconds, found = await self.take(size)
        if found != size:
            raise Failed(f"a claim of {size} brought {found}")
        self.enqueue(size)
        return milliseconds

    async def take(self, most: int) -> tuple[float, int]:
        """Claim as many as there are, and settle them; return the milliseconds of the claim, and what it brought."""
        seconds, claimed = await self._link.run(lambda conn: _claim(conn, most, self._marks))
        if claimed:
            await self._link.run(lambda conn: _settle(conn, claimed))
        return seconds * 1_000, len(claimed)

    def _execute(self, sql: str, *parameters: Any) -> None:
        with psycopg.connect(self._url) as conn:
            conn.execute("SET synchronous_commit = off")
            conn.execute(sql.encode(), parameters or None)


async def _claim(conn: AsyncConnection[Any], size: int, marks: Marks | None) -> tuple[float, list[Claimed]]:
    asked_at = time.monotonic()
    ages = marks.ages(_LEVELS, asked_at) if marks else ()
    claimed = await claim(conn, channel="email", levels=_LEVELS, limit=size, lease=30.0, worker=_WORKER, ages=ages)
    now = time.monotonic()
    if marks:
        marks.found(claimed, _LEVELS, size, asked_at, now)
    return now - asked_at, claimed


async def _settle(conn: AsyncConnection[Any], claimed: Sequence[Claimed]) -> None:
    now = time.monotonic()
    sent = Sent(provider="nothing")
    await settle(
        conn,
        [Settlement(one.key, one.claim, one.attempt, sent, now, now, one.place) for one in claimed],
        worker=_WORKER,
    )


async def measure(alone: Queue, beside: Queue, statistics: str, claims: int, progress: Progress) -> list[Cell]:
    """Measure claims of every size, with marks and without, from both in turn."""
    task = progress.add_task(f"claims with {statistics} statistics", total=2 * len(_SIZES) * claims)
    cells = []
    for looks in ("all the way", "by marks"):
        for queue in (alone, beside):
            await queue.begin(Marks() if looks == "by marks" else None)
        for size in _SIZES:
            cell = Cell(statistics, looks, size, [], [])
            for _ in range(claims):
                cell.alone.append(await alone.claim(size))
                cell.beside.append(await beside.claim(size))
                progress.advance(task)
            cells.append(cell)
    return cells


async def run(alone: Queue, beside: Queue, given: argparse.Namespace, progress: Progress) -> list[Cell]:
    """Fill the queues, and measure with the statistics that are true and with those of an empty queue."""
    alone.enqueue(2 * max(_SIZES), ago="2 hours")
    beside.enqueue(4 * (sum(_SIZES) * given.claims + _WARM_UP), ago="2 hours")
    beside.fill(given.rows, progress)
    for queue in (alone, beside):
        queue.analyze()
    cells = await measure(alone, beside, "true", given.claims, progress)
    beside.forget()
    return cells + await measure(alone, beside, "an empty queue's", given.claims, progress)


def report(console: Console, cells: Sequence[Cell]) -> None:
    """Print the table."""
    table = Table("statistics", "looks back", "batch", "alone: p50 ms", "p99", "beside: p50 ms", "p99", "p99 ÷ p99")
    for cell in cells:
        figures = [percentile(took, share) for took in (cell.alone, cell.beside) for share in (0.5, 0.99)]
        shown = (f"{figure:.1f}" for figure in figures)
        table.add_row(cell.statistics, cell.looks, str(cell.size), *shown, f"{figures[3] / figures[1]:.2f}")
    console.print(table)


def percentile(took: Sequence[float], share: float) -> float:
    """Return what so large a share of them took at most."""
    return sorted(took)[math.ceil(len(took) * share) - 1]


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows that wait, one in ten scheduled at urgent")
    parser.add_argument("--claims", type=int, default=200, help="claims of each kind")
    given = parser.parse_args()
    console = Console()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with LocalPostgres(settings=SETTINGS) as server, Progress(*columns, console=console) as progress:
        with psycopg.connect(server.url, autocommit=True) as conn:
            conn.execute("CREATE DATABASE beside")
        alone, beside = Queue(server.url), Queue(server.url_of("beside"))
        cells = asyncio.run(run(alone, beside, given, progress))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    console.print(f"{given.rows:,} rows beside; {given.claims} claims of each kind; load {load}")
    report(console, cells)


if __name__ == "__main__":
    main()
