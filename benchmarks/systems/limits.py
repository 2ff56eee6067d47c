"""What PostgreSQL itself can do: the limits that every queue on it has.

Inserts into a table of a notification's shape by pgbench, COPY into it, and rows of a narrow queue leased and deleted
in batches of 500, two statements a batch. No content is read, nothing is kept, and there are no handlers.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.systems.actions import run
from benchmarks.systems.driver import Absent, Driver, payload
from outbox.devdb import find_binaries

if TYPE_CHECKING:
    from benchmarks.systems.shift import Shift

_BATCH = 500
_ROWS = 100_000
_SCHEMA = f"""
CREATE TABLE facts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    priority smallint NOT NULL DEFAULT 5, channel text NOT NULL, recipient text NOT NULL, payload jsonb NOT NULL
);
CREATE TABLE work (
    id bigint PRIMARY KEY, run_at timestamptz NOT NULL DEFAULT clock_timestamp(), worker bigint
) WITH (fillfactor = 70);
CREATE INDEX ON work (run_at);
INSERT INTO work (id) SELECT generate_series(1, {_ROWS});
"""
_INSERT = "INSERT INTO facts (channel, recipient, payload) VALUES ('bench', 'ada', '{}');\n"
_LEASE = f"""
WITH due AS MATERIALIZED (
    SELECT id FROM work WHERE run_at <= now() ORDER BY run_at LIMIT {_BATCH} FOR UPDATE SKIP LOCKED
), leased AS (
    UPDATE work SET run_at = now() + interval '30 s', worker = 1 FROM due WHERE work.id = due.id RETURNING work.id
) SELECT count(*), array_agg(id)::text FROM leased
"""
_DELETE = "DELETE FROM work WHERE id = ANY (CAST(%s AS bigint[]))"


class Limits(Driver):
    """No queue, and hardly a client."""

    distribution = "postgresql"
    history = None

    def version(self) -> tuple[str, str]:
        """Return the server's version, and that of the client of the leases."""
        said = subprocess.run([find_binaries() / "postgres", "--version"], check=True, capture_output=True, text=True)
        return said.stdout.split()[-1], f"psycopg {psycopg.__version__}"

    def setup(self, url: str) -> None:
        """Create the tables, with work to do."""
        with psycopg.connect(url) as conn:
            conn.execute(_SCHEMA.encode())

    def enqueue(self, url: str, clients: int, seconds: float) -> dict[str, Any]:
        """Insert by pgbench, a transaction each."""
        pgbench = find_binaries() / "pgbench"
        if not pgbench.exists():
            raise Absent("this PostgreSQL has no pgbench")
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "insert.sql")
            script.write_text(_INSERT.format(json.dumps(payload(0))), encoding="utf-8")
            options = ["--client", str(clients), "--time", str(max(round(seconds), 1)), "--file", str(script)]
            done = subprocess.run(
                [pgbench, "--no-vacuum", "--protocol", "prepared", *options, url],
                check=True,
                capture_output=True,
                text=True,
            )
        jobs = re.search(r"transactions actually processed: (\d+)", done.stdout)
        rate = re.search(r"tps = ([\d.]+) \(without", done.stdout)
        if not jobs or not rate:
            raise Absent(f"pgbench said what nobody understands: {done.stdout[-200:]}")
        return {"jobs": int(jobs[1]), "seconds": int(jobs[1]) / float(rate[1])}

    def bulk(self, url: str, count: int, *, keyed: bool) -> None:
        """Copy, in one transaction."""
        if keyed:
            raise Absent("the table has no key")
        line = f"bench\tada\t{json.dumps(payload(0))}\n".encode()
        with psycopg.connect(url) as conn, conn.cursor() as cursor:
            with cursor.copy("COPY facts (channel, recipient, payload) FROM STDIN") as copy:
                for _ in range(count):
                    copy.write(line)
            conn.commit()

    def work(self, url: str, shift: Shift) -> str:
        """Lease and delete, batch after batch."""
        if shift.is_prompt or shift.pause:
            raise Absent("there are no handlers")
        with psycopg.connect(url, autocommit=True, prepare_threshold=0) as conn:
            conn.execute("DELETE FROM work WHERE id > %s", [shift.count])
            shift.ready()
            while (row := conn.execute(_LEASE.encode()).fetchone()) and row[0]:
                shift.begin(0)
                conn.execute(_DELETE, [row[1]])
                shift.completed()
                shift.handled += row[0] - 1
        return f"batches of {_BATCH}"


if __name__ == "__main__":
    run(Limits())
