"""How long claims take when a snapshot has been held for an hour: `python -m benchmarks.snapshot`.

A cluster of its own. Under an open transaction in REPEATABLE READ so many notifications came and went within an hour,
none of which PostgreSQL can remove. Then more come at a steady rate, and claims take them as a worker's do: one after
another, each by the marks that the earlier ones left.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time

import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.claims import SETTINGS, Queue, percentile
from outbox.devdb import LocalPostgres
from outbox.worker.marks import Marks

_SLICE = 500_000
_BEAT = 0.02  # seconds between two claims
_MOST = 500

_COME = """
INSERT INTO outbox.queue (id, channel, priority, run_at)
SELECT outbox.uuid7(), 'email', 5, now() - n * interval '1 hour' / %s
FROM generate_series(%s::bigint, %s::bigint) AS n
"""


def bury(url: str, rows: int, progress: Progress) -> None:
    """Let so many come and go that were due within the last hour."""
    task = progress.add_task("rows that come and go", total=rows)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SET synchronous_commit = off")
        for first in range(1, rows + 1, _SLICE):
            last = min(first + _SLICE - 1, rows)
            conn.execute(_COME, [rows, first, last])
            conn.execute("DELETE FROM outbox.queue")
            progress.update(task, completed=last)


async def claims(queue: Queue, rate: int, seconds: float, progress: Progress) -> list[float]:
    """Claim what comes at that rate for so long; return the milliseconds of each claim."""
    task = progress.add_task("claims", total=seconds)
    took, began, come = [], time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        await asyncio.to_thread(queue.enqueue, int(rate * passed) - come)
        come = int(rate * passed)
        took.append((await queue.take(_MOST))[0])
        progress.update(task, completed=passed)
        await asyncio.sleep(_BEAT)
    return took


async def run(url: str, given: argparse.Namespace, progress: Progress) -> list[float]:
    """Fill and empty the queue under a snapshot, then measure."""
    queue = Queue(url)
    queue.enqueue(100)
    await queue.begin(None)
    with psycopg.connect(url) as snapshot:
        snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT 1")
        bury(url, given.rows, progress)
        queue.enqueue(100)
        await queue.begin(Marks())
        return await claims(queue, given.rate, given.seconds, progress)


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshot", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows that came and went within the hour")
    parser.add_argument("--rate", type=int, default=1_000, help="notifications a second that come meanwhile")
    parser.add_argument("--seconds", type=float, default=180.0, help="how long claims are measured")
    given = parser.parse_args()
    console = Console()
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with LocalPostgres(settings=SETTINGS) as server, Progress(*columns, console=console) as progress:
        took = asyncio.run(run(server.url, given, progress))
    shown = ", ".join(f"{name} {percentile(took, share):.1f}" for name, share in (("p50", 0.5), ("p99", 0.99)))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    console.print(f"{given.rows:,} dead rows; {len(took):,} claims in {given.seconds:g} s; load {load}")
    console.print(f"ms of a claim: {shown}, the longest {max(took):.0f}; claims took {sum(took) / 1_000:.1f} s in all")


if __name__ == "__main__":
    main()
