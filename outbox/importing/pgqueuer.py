"""pgqueuer (1.x): jobs in the table `pgqueuer`, beside their log and its schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row

from outbox.importing.source import Entry, Periodic, Standing
from outbox.importing.task import Task, level, notification

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from psycopg import Connection

    from outbox.importing.mapping import Mapping
    from outbox.importing.source import Cursor, State

STANDINGS = "SELECT entrypoint, status::text, count(*) FROM {jobs} GROUP BY 1, 2 ORDER BY 1, 2"
# Those that were moved stay in its table: it starts nothing that is canceled.
TAKE = """
SELECT id, entrypoint, payload, priority, execute_after, created, dedupe_key FROM {jobs}
WHERE status = {status} AND entrypoint = ANY(%(tasks)s) AND (CAST(%(id)s AS bigint) IS NULL OR id > %(id)s)
ORDER BY id LIMIT %(limit)s {locking}
"""
MARK = """
WITH moved AS (
    UPDATE {jobs} SET status = 'canceled', updated = now() WHERE id = ANY(%(ids)s)
    RETURNING id, status, entrypoint, priority
)
INSERT INTO {log} (job_id, status, entrypoint, priority) SELECT id, status, entrypoint, priority FROM moved
"""
PERIODICS = "SELECT entrypoint, expression FROM {schedules} ORDER BY 1, 2"
_STATES: dict[str, State] = {"queued": "waiting", "picked": "running", "failed": "failed"}


class PgQueuer:
    """Its jobs that are queued, or those that failed and are held. A moved one is `canceled` there, and in its log."""

    name = "pgqueuer"

    def __init__(
        self,
        mapping: Mapping,
        *,
        schema: str | None = None,
        prefix: str = "",
        failed: bool = False,
    ) -> None:
        self._mapping = mapping
        self._status = "failed" if failed else "queued"
        self._tasks = [task for task, rule in mapping.tasks.items() if not rule.leave]
        names = {"jobs": "pgqueuer", "log": "pgqueuer_log", "schedules": "pgqueuer_schedules"}
        self._tables = {
            key: sql.Identifier(*([schema] if schema else []), f"{prefix}{name}") for key, name in names.items()
        }

    def standings(self, conn: Connection[Any]) -> Sequence[Standing]:
        """Count what waits, runs, failed and has ended. It has no queues: an entrypoint is one."""
        rows = conn.execute(self._sql(STANDINGS)).fetchall()
        return [Standing(task, task, _STATES.get(status, "ended"), count) for task, status, count in rows]

    def take(self, conn: Connection[Any], after: Cursor, limit: int, *, lock: bool) -> Sequence[Entry]:
        """Return the next jobs."""
        locking = sql.SQL("FOR NO KEY UPDATE SKIP LOCKED" if lock else "")
        query = self._sql(TAKE, status=sql.Literal(self._status), locking=locking)
        with conn.cursor(row_factory=dict_row) as cursor:
            parameters = {"tasks": self._tasks, "id": after[0] if after else None, "limit": limit}
            rows = cursor.execute(query, parameters).fetchall()
        return [Entry(row["id"], row["entrypoint"], (row["id"],), row) for row in rows]

    def translate(self, entry: Entry) -> Sequence[dict[str, Any]]:
        """Return the one notification that a job becomes."""
        row = entry.row
        payload = row["payload"]
        task = Task(
            key=self._mapping.key(self.name, entry.id),
            id=str(entry.id),
            name=entry.task,
            queue=entry.task,
            body=None if payload is None else bytes(payload),
            priority=self._mapping.priorities.get(row["priority"], level(row["priority"])),
            run_at=row["execute_after"] if row["execute_after"] > row["created"] else None,
            group=row["dedupe_key"],
        )
        return [notification(task, self._mapping.tasks[entry.task])]

    def behind(self, conn: Connection[Any], entries: Sequence[Entry]) -> Collection[int]:  # noqa: ARG002 - as every source
        """Return nothing: it knows no order."""
        return ()

    def mark(self, conn: Connection[Any], ids: Sequence[int]) -> None:
        """Cancel them, in its log too."""
        conn.execute(self._sql(MARK), {"ids": list(ids)})

    def periodics(self, conn: Connection[Any]) -> Sequence[Periodic]:
        """Return its schedules."""
        return [Periodic(task, cron) for task, cron in conn.execute(self._sql(PERIODICS))]

    def _sql(self, text: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(**self._tables, **more)
