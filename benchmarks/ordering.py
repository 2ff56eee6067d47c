"""What ordering keys cost the server: `python -m benchmarks.ordering` starts a PostgreSQL of its own, prints a table.

Counted is the processor time of the server process that works for one connection, per notification, in microseconds;
the shapes take turns, and the table has the median of the rounds. Works where /proc tells such times.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

import outbox
from outbox.devdb import LocalPostgres
from outbox.migrate import upgrade
from outbox.outcomes import Sent
from outbox.queue.claim import claim
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement
from outbox.queue.unblock import unblock

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 10_000
BATCH = 200
ROUNDS = 5
SHAPES: dict[str, Callable[[int], str | None]] = {
    "no key": lambda _: None,
    "a key of its own each": str,
    "lines of 10": lambda number: f"line {number % (COUNT // 10)}",
    "lines of 50": lambda number: f"line {number % (COUNT // 50)}",
}


def _spent(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _enqueue(url: str, shape: Callable[[int], str | None]) -> float:
    drafts = [{"channel": "push", "recipient": f"{n}", "ordering_key": shape(n)} for n in range(COUNT)]
    with psycopg.connect(url) as conn:
        before = _spent(conn.info.backend_pid)
        outbox.enqueue_many(conn, drafts)
        conn.commit()
        return _spent(conn.info.backend_pid) - before


async def _drain(conn: psycopg.AsyncConnection[Any]) -> tuple[float, float, int]:
    """Claim and settle all there is; return what each took, and in how many rounds."""
    pid, claims, settles, rounds = conn.info.backend_pid, 0.0, 0.0, 0
    while True:
        start = _spent(pid)
        taken = await claim(conn, channel="push", levels=[5], limit=BATCH, lease=60, worker=1)
        between = _spent(pid)
        if not taken:
            return claims, settles, rounds
        now = time.monotonic()
        sent = Sent(provider="none")
        await settle(conn, [Settlement(one.key, one.claim, 0, sent, now, now, one.place) for one in taken], worker=1)
        claims, settles, rounds = claims + between - start, settles + _spent(pid) - between, rounds + 1


async def _measure(url: str) -> None:
    spent: dict[str, list[tuple[float, ...]]] = {name: [] for name in SHAPES}
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        for _ in range(ROUNDS):
            for name, shape in SHAPES.items():
                enqueued = await asyncio.to_thread(_enqueue, url, shape)
                await conn.execute("VACUUM ANALYZE outbox.queue")
                claims, settles, _ = await _drain(conn)
                spent[name].append((enqueued, claims, settles))
        await asyncio.to_thread(_enqueue, url, lambda _: "one line")
        began = time.monotonic()
        for _ in range(100):
            await unblock(conn)
        look = (time.monotonic() - began) / 100
    sys.stdout.write("| µs of the server, per notification | enqueue by COPY | claim | settle | claim and settle |\n")
    sys.stdout.write("| --- | --- | --- | --- | --- |\n")
    for name, rounds in spent.items():
        columns = [statistics.median(column) / COUNT * 1e6 for column in zip(*rounds, strict=True)]
        both = statistics.median(claims + settles for _, claims, settles in rounds) / COUNT * 1e6
        sys.stdout.write(f"| {name} | {' | '.join(f'{column:.0f}' for column in (*columns, both))} |\n")
    sys.stdout.write(f"\nThe chore, with one line of {COUNT:,}: {look * 1e3:.1f} ms\n")


def main() -> None:
    """Measure on a server that lives as long as this."""
    with LocalPostgres(durable=False) as server:
        upgrade(server.url)
        asyncio.run(_measure(server.url))


if __name__ == "__main__":
    main()
