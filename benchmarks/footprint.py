"""What a notification leaves on the disk: `python -m benchmarks.footprint`.

A cluster of its own. Notifications like those of the benchmarks, with a payload of 300 bytes, are enqueued in bulk and
delivered by a worker's statements, in batches; some with an idempotency key. Then the tables are asked how large they
are, after a vacuum, and how much WAL there was. It takes a minute, and no time is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table

import outbox
from outbox import migrate
from outbox.devdb import LocalPostgres
from outbox.outcomes import Sent
from outbox.queue.claim import claim
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEVELS = tuple(range(10))
_BATCH = 500
_WORKER = 1
# Every partition belongs to its table.
_SIZES = """
SELECT coalesce(parent.relname, c.relname), sum(pg_table_size(c.oid)), sum(pg_indexes_size(c.oid))
FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
LEFT JOIN pg_class parent ON parent.oid = i.inhparent
WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind = 'r'
  AND coalesce(parent.relname, c.relname) IN ('notifications', 'attempts', 'idempotency_keys', 'queue')
GROUP BY 1 ORDER BY 2 DESC
"""
_AT = "SELECT pg_current_wal_insert_lsn() - '0/0'"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="notifications for each kind (default: 100000)")
    count = parser.parse_args().rows
    console = Console()
    for keyed in (False, True):
        with LocalPostgres(settings={"max_wal_size": "8GB", "checkpoint_timeout": "1h"}) as server:
            migrate.upgrade(server.url)
            console.print(_measure(server.url, count, keyed=keyed))


def _measure(url: str, count: int, *, keyed: bool) -> Table:
    with psycopg.connect(url, autocommit=True) as conn:
        empty = {name: (heap, indexes) for name, heap, indexes in conn.execute(_SIZES)}
        begin = _at(conn)
        _enqueue(url, count, keyed=keyed)
        enqueued = _at(conn)
        asyncio.run(_deliver(url, count))
        delivered = _at(conn)
        conn.execute("VACUUM")
        table = Table("bytes a notification", "table", "indexes", title="with a key" if keyed else "without a key")
        for name, heap, indexes in conn.execute(_SIZES):
            table.add_row(
                str(name),
                *(_each(now - before, count) for now, before in zip((heap, indexes), empty[name], strict=True)),
            )
        table.add_row("WAL, enqueue", _each(enqueued - begin, count), "")
        table.add_row("WAL, delivery", _each(delivered - enqueued, count), "")
    return table


def _at(conn: psycopg.Connection[Any]) -> Any:
    row = conn.execute(_AT).fetchone()
    return row[0] if row else 0


def _each(size: Any, count: int) -> str:
    return f"{float(size) / count:,.0f}"


def _enqueue(url: str, count: int, *, keyed: bool) -> None:
    payload = {"name": "Ada", "text": os.urandom(137).hex()}  # 300 bytes, which nothing compresses to less
    with psycopg.connect(url) as conn:
        for begin in range(0, count, 10_000):
            drafts: Sequence[dict[str, Any]] = [
                {
                    "channel": "email",
                    "recipient": f"user{number}@example.org",
                    "template": "welcome",
                    "payload": payload,
                }
                | ({"idempotency_key": f"welcome-{number}"} if keyed else {})
                for number in range(begin, min(begin + 10_000, count))
            ]
            outbox.enqueue_many(conn, drafts)
            conn.commit()


async def _deliver(url: str, count: int) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        done = 0
        while done < count:
            found = await claim(conn, channel="email", levels=_LEVELS, limit=_BATCH, lease=60.0, worker=_WORKER)
            now = time.monotonic()
            outcome = Sent(provider="smtp", provider_message_id="250 2.0.0 Ok: queued as 4cXyz12345")
            settlements = [Settlement(row.key, row.claim, row.attempt, outcome, now, now, row.place) for row in found]
            await settle(conn, settlements, worker=_WORKER)
            done += len(found)


if __name__ == "__main__":
    main()
