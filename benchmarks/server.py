"""The PostgreSQL of a run: one cluster, a new database for each cell, and what it has cost so far."""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg

from benchmarks.errors import Failed
from outbox.devdb import LocalPostgres, find_binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTINGS = {
    "shared_buffers": "1GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",  # a checkpoint of its own in the middle of a cell would be that cell's bad luck
    "track_io_timing": "off",
}
_STATEMENTS = "pg_stat_statements"
_LEAVING = 10.0  # seconds that a client may need to leave a database
_TICKS = os.sysconf("SC_CLK_TCK")

_COST = """
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
       (SELECT coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables)
"""
_LONGEST = f"""
SELECT total_exec_time, calls, rows, query FROM {_STATEMENTS}
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY total_exec_time DESC LIMIT 12
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Cost:
    """CPU seconds, bytes of WAL, and dead tuples made: since the start, or between two moments."""

    cpu: float
    wal: int | None = None
    dead: int | None = None

    def __sub__(self, before: Cost) -> Cost:
        """Return what came to it since `before`."""
        wal = None if self.wal is None or before.wal is None else self.wal - before.wal
        dead = None if self.dead is None or before.dead is None else self.dead - before.dead
        return Cost(self.cpu - before.cpu, wal, dead)


class Server:
    """The cluster, for as long as the `with` block lasts."""

    def __init__(self, *, statements: bool = False) -> None:
        self._port = free_port()
        self._postgres = LocalPostgres(tcp_port=self._port, settings=SETTINGS | _preloaded(statements=statements))
        self._ready: set[str] = set()

    def __enter__(self) -> Self:
        """Start it."""
        self._postgres.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and remove it."""
        self._postgres.stop()

    @property
    def version(self) -> str:
        """The version of PostgreSQL."""
        with psycopg.connect(self._url("postgres")) as conn:
            row = conn.execute("SHOW server_version").fetchone()
            return str(row[0]) if row else ""

    @contextmanager
    def database(self, system: str, setup: Callable[[str], None]) -> Iterator[Database]:
        """Yield a new database, made right after a checkpoint, with the schema that `setup` makes, and nothing in it.

        It is made once for each system, with the URL of an empty database, and copied from then on.
        """
        template, name = f"template_{system}", f"bench_{system}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as conn:
            if system not in self._ready:
                self._create(conn, template, "template1")
                setup(self._url(template))
                self._ready.add(system)
            self._create(conn, name, template)
            try:
                yield Database(self._url(name), self._postgres.pid or 0)
            finally:
                conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    @staticmethod
    def _create(conn: psycopg.Connection, name: str, template: str) -> None:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        conn.execute("CHECKPOINT")  # before, not after: what is copied since then needs no full-page images
        deadline = time.monotonic() + _LEAVING
        while True:
            try:
                conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
            except psycopg.errors.ObjectInUse:  # by a client of the setup's that has not quite left
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"


class Database:
    """One cell's database."""

    def __init__(self, url: str, server_pid: int) -> None:
        self.url = url
        self._server_pid = server_pid

    def analyze(self) -> None:
        """Bring the planner's statistics up to date, as autovacuum would have, sooner or later."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute("ANALYZE")

    def statements(self) -> list[str]:
        """Return the statements that took longest since the last call: milliseconds, calls, rows, and the text."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(f"CREATE EXTENSION IF NOT EXISTS {_STATEMENTS}".encode())
            rows = conn.execute(_LONGEST.encode()).fetchall()
            conn.execute("SELECT pg_stat_statements_reset()")
        return [
            f"{time:9,.0f} ms {calls:8,} calls {found:9,} rows  {' '.join(text.split())[:200]}"
            for time, calls, found, text in rows
        ]

    def cost(self) -> Cost:
        """Return what the server has cost so far, once every client of the cell has left and been counted."""
        deadline = time.monotonic() + _LEAVING
        with psycopg.connect(self.url, autocommit=True) as conn:
            while (row := conn.execute(_OTHERS).fetchone()) and row[0]:
                if time.monotonic() > deadline:
                    raise Failed(f"{row[0]} clients have not left the database")
                time.sleep(0.01)
            wal, dead = conn.execute(_COST).fetchone() or (None, None)
            return Cost(cpu_of(self._server_pid), wal, dead)


def cpu_of(root: int) -> float:
    """Return the CPU seconds of a process and all that descend from it, the dead ones that were waited for included."""
    times: dict[int, tuple[int, float]] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        user, system, waited_user, waited_system = (int(fields[place]) for place in (11, 12, 13, 14))
        times[int(directory.name)] = int(fields[1]), (user + system + waited_user + waited_system) / _TICKS
    members = {root}
    while grown := {pid for pid, (parent, _) in times.items() if parent in members} - members:
        members |= grown
    return sum(times[pid][1] for pid in members if pid in times)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _preloaded(*, statements: bool) -> dict[str, str]:
    library = find_binaries().parent / "lib" / f"{_STATEMENTS}.so"
    if not statements or not library.exists():
        return {}
    return {"shared_preload_libraries": _STATEMENTS, f"{_STATEMENTS}.track": "all"}
