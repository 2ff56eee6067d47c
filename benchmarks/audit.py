"""What the questions of docs/auditing.md take beside millions of attempts: `python -m benchmarks.audit`.

A cluster of its own, or the server of `--url`; rows by generate_series on days that are over, two in a hundred of them
failed at first. Each question is asked so many times, as the page has it, and its median and range are printed.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.history import load, server
from outbox import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = Path(__file__).parents[1] / "docs" / "auditing.md"
_BLOCK = re.compile(r"^## (?P<heading>[^\n]+)\n(?:(?!^## ).)*?```sql\n(?P<sql>.*?)```", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"'[0-9a-f]{8}-[0-9a-f-]{27}'")
_RECIPIENT = "'ada@example.org'"

_FAILURES = """
WITH failed AS (
    UPDATE outbox.attempts SET claim = 2, attempt = 2
    WHERE notification_id >= outbox.uuid7_floor(now() - interval '3 days') AND random() < 0.02
    RETURNING notification_id, started_at, finished_at
)
INSERT INTO outbox.attempts
    (notification_id, claim, attempt, outcome, provider, error_class, error_code, error, started_at, finished_at)
SELECT notification_id, 1, 1, 'retry', 'smtp', 'temporary', '451 4.7.1', 'try later', started_at, finished_at
FROM failed
"""


def questions(conn: psycopg.Connection[Any]) -> Iterator[tuple[str, str]]:
    """Yield each question of the page with its SQL, about a notification and a person that there are."""
    row = conn.execute("SELECT id, recipient FROM outbox.notifications ORDER BY id DESC LIMIT 1").fetchone()
    identity, recipient = row or (None, None)
    for block in _BLOCK.finditer(_PAGE.read_text(encoding="utf-8")):
        yield block["heading"], _ID.sub(f"'{identity}'", block["sql"]).replace(_RECIPIENT, f"'{recipient}'")


def ask(conn: psycopg.Connection[Any], sql: str, times: int) -> tuple[int, list[float]]:
    """Ask so many times; return how many rows came, and the seconds that it took, in order."""
    took: list[float] = []
    rows = 0
    for _ in range(times):
        began = time.monotonic()
        rows = len(conn.execute(sql.encode()).fetchall())
        took.append(time.monotonic() - began)
    return rows, sorted(took)


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="notifications, and attempts")
    parser.add_argument("--days", type=int, default=30, help="days they were enqueued on")
    parser.add_argument("--times", type=int, default=5, help="how often each question is asked")
    parser.add_argument("--url", help="a server, whose user may create databases")
    given = parser.parse_args()
    console = Console()
    with server(given.url) as url:
        migrate.upgrade(url)
        with console.status(f"making {given.rows:,} rows"):
            load(url, given.rows, given.days)
        table = Table("question", "rows", "median ms", "least ms", "most ms")
        with psycopg.connect(url, autocommit=True) as conn, console.status("asking"):
            conn.execute(_FAILURES)
            conn.execute("VACUUM ANALYZE outbox.attempts")
            for heading, sql in questions(conn):
                rows, took = ask(conn, sql, given.times)
                figures = (f"{seconds * 1_000:,.1f}" for seconds in (took[len(took) // 2], took[0], took[-1]))
                table.add_row(heading, f"{rows:,}", *figures)
    load_now = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    console.print(f"{given.rows:,} attempts on {given.days} days; load {load_now}")
    console.print(table)


if __name__ == "__main__":
    main()
