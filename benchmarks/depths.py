"""What it costs to know how much waits, and how right that is, with millions waiting: `python -m benchmarks.depths`.

A cluster of its own, or the server of `--url`. The queue alone is filled (three quarters of it due, the rest scheduled;
one channel has most of it), measured, half emptied, and measured again before anything was vacuumed.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.history import server
from outbox import migrate
from outbox.queue import measure
from outbox.queue.depths import depths
from outbox.queue.fleet import fleet

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP = 1_000_000
# Of twenty, so many are on each channel and priority.
_FILL = """
INSERT INTO outbox.queue (id, run_at, priority, channel)
SELECT overlay(gen_random_uuid()::text PLACING left(outbox.uuid7_floor(now())::text, 14) || '7' FROM 1)::uuid,
       now() + (n - %(due)s) * interval '1 ms',
       CASE WHEN n %% 20 < 1 THEN 2 WHEN n %% 20 < 6 THEN 5 ELSE 8 END,
       CASE WHEN n %% 20 < 16 THEN 'email' ELSE 'push' END
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
_FEW = """
INSERT INTO outbox.queue (id, run_at, priority, channel)
SELECT outbox.uuid7(), now(), 0, 'sms' FROM generate_series(1, 20)
"""
_EXACT = """
SELECT channel, priority, count(*) FILTER (WHERE run_at <= now()), count(*) FILTER (WHERE run_at > now())
FROM outbox.queue GROUP BY 1, 2 ORDER BY 1, 2
"""
_HALVE = "DELETE FROM outbox.queue WHERE run_at <= (SELECT min(run_at) + %s * interval '1 ms' FROM outbox.queue)"


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _measure(url: str, times: int) -> list[float]:
    """Measure so often, each time in a transaction and a connection of its own, as the chore does; return seconds."""

    async def once() -> float:
        async with await psycopg.AsyncConnection.connect(url) as conn:
            began = time.perf_counter()
            await measure.measure(conn)
            await conn.commit()
            return time.perf_counter() - began

    return [asyncio.run(once()) for _ in range(times)]


def report(console: Console, url: str, words: str, times: int) -> None:
    """Measure, count, and show how far they are apart."""
    first, *others = _measure(url, times)
    with psycopg.connect(url, autocommit=True) as conn:
        counting, exact = _timed(lambda: conn.execute(_EXACT).fetchall())
        found = {(each.channel, each.priority): each for each in depths(conn)}
        reading = statistics.median(_timed(lambda: depths(conn))[0] for _ in range(20))
        looking = statistics.median(_timed(lambda: fleet(conn))[0] for _ in range(20))
    table = Table("channel", "priority", "due", "as measured", "scheduled", "as measured", "off by", title=words)
    for channel, priority, due, scheduled in exact:
        it = found[channel, priority]
        off = max(abs(it.due - due), abs(it.scheduled - scheduled)) / max(due + scheduled, 1)
        numbers = (f"{number:,}" for number in (due, it.due, scheduled, it.scheduled))
        table.add_row(channel, str(priority), *numbers, f"{off:.1%}" if it.is_estimate else "exact")
    console.print(table)
    console.print(
        f"to measure: {first * 1e3:.0f} ms the first time, {statistics.median(others) * 1e3:.0f} ms then "
        f"(at most {max(others) * 1e3:.0f}); to count all with count(*): {counting:.1f} s; "
        f"to read depths: {reading * 1e3:.1f} ms, the fleet: {looking * 1e3:.1f} ms"
    )


def main() -> None:
    """Fill, measure, empty half, measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.depths", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="in the queue")
    parser.add_argument("--times", type=int, default=10, help="measurements of each")
    parser.add_argument("--url", help="a server, whose user may create databases")
    given = parser.parse_args()
    console = Console()
    with server(given.url) as url:
        migrate.upgrade(url)
        with psycopg.connect(url, autocommit=True) as conn:
            for first in range(1, given.rows + 1, _STEP):
                last = min(first + _STEP - 1, given.rows)
                conn.execute(_FILL, {"first": first, "last": last, "due": given.rows * 3 // 4})
            conn.execute(_FEW)
            size = conn.execute("SELECT pg_size_pretty(pg_total_relation_size('outbox.queue'))").fetchone()
            console.print(f"{given.rows:,} rows in the queue, {size and size[0]} with its indexes")
            report(console, url, "as filled", given.times)
            conn.execute(_HALVE, [given.rows // 2])
            report(console, url, "half of them gone, and not vacuumed", given.times)
            conn.execute("VACUUM outbox.queue")
            report(console, url, "and vacuumed", given.times)


if __name__ == "__main__":
    main()
