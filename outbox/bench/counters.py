"""What the server counts: bytes of WAL, transactions, and the sizes of tables."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg

_WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
_TRANSACTIONS = """
SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""
# A size of a table with its indexes and its TOAST, for each row that it has.
_ROW_BYTES = """
SELECT (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('outbox.notifications'))::float8
       / greatest((SELECT count(*) FROM outbox.notifications), 1)
     + (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('outbox.attempts'))::float8
       / greatest((SELECT count(*) FROM outbox.attempts), 1)
"""


@dataclass(frozen=True, slots=True)
class Count:
    """So much until now, or between two moments; None where it cannot be asked."""

    wal: int | None
    transactions: int | None

    def __sub__(self, before: Count) -> Count:
        """Return what came to it since `before`."""
        return Count(_less(self.wal, before.wal), _less(self.transactions, before.transactions))


class Counters:
    """Asks for them, on a connection of its own in autocommit mode."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self._conn = conn

    def read(self) -> Count:
        """Return how much it is by now."""
        return Count(self._ask(_WAL), self._ask(_TRANSACTIONS))

    def row_bytes(self) -> float:
        """Return what stays of one notification on the disk."""
        row = self._conn.execute(_ROW_BYTES).fetchone()
        return float(row[0]) if row else 0.0

    def analyze(self) -> None:
        """Bring the planner's statistics up to date, as autovacuum would have, sooner or later."""
        self._conn.execute("ANALYZE outbox.notifications, outbox.queue")

    def _ask(self, question: str) -> int | None:
        with suppress(psycopg.errors.Error):  # some hosts have no such function, or let nobody call it
            row = self._conn.execute(question.encode()).fetchone()
            return int(row[0]) if row and row[0] is not None else None
        return None


def _less(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before
