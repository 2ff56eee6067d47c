"""Graphile Worker's queue kept full, in SQL: the rest of its driver is `node/graphile.mjs`."""

from __future__ import annotations

import json

import psycopg

from benchmarks.systems.actions import run
from benchmarks.systems.driver import Driver, payload

_ADD = """
SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
    SELECT ('bench', job, NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec
    FROM json_array_elements(CAST(%s AS json)) job))
"""


class Graphile(Driver):
    """Its functions are the same as those that its library calls."""

    def bulk(self, url: str, count: int, *, keyed: bool) -> None:  # noqa: ARG002 - the interface
        """Add jobs, in one statement."""
        with psycopg.connect(url) as conn:
            conn.execute(_ADD.encode(), [json.dumps([payload(number) for number in range(count)])])

    def jobs_deleted(self) -> str:
        """Return SQL for the rows that have left the queue."""
        return "SELECT pg_stat_get_tuples_deleted('graphile_worker._private_jobs'::regclass)"


if __name__ == "__main__":
    run(Graphile())
