"""procrastinate (3.x): jobs in the table `procrastinate_jobs`."""

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

# Everything that it has ever done stands in one table, so what has ended is not counted.
STANDINGS = """
SELECT task_name, queue_name, status::text, count(*) FROM {jobs} WHERE status IN ('todo', 'doing', 'failed')
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
# In the order in which it would start them, which is that of its locks too; by its own index, of which a condition on
# both columns together would use the first alone: so those of the same priority are asked for, and then the lower ones.
TAKE = """
SELECT id, task_name, queue_name, args, priority, scheduled_at, lock, queueing_lock FROM {jobs}
WHERE status = {status} AND task_name = ANY(%(tasks)s)
  AND (CAST(%(queues)s AS text[]) IS NULL OR queue_name = ANY(%(queues)s))
  AND {place}
ORDER BY priority DESC, id LIMIT %(limit)s {locking}
"""
SAME = "priority = %(priority)s AND id > %(id)s"
LOWER = "priority < %(priority)s"
# Asked after they were taken: one that a worker has begun since then is seen by now, as running or as not taken. Its
# table has no index by lock alone: it is read once, and not once for each of them.
BEHIND = """
WITH mine AS MATERIALIZED (
    SELECT id, lock, ARRAY[-CAST(priority AS bigint), id] AS place FROM {jobs}
    WHERE id = ANY(%(locked)s) AND status = 'todo'
), others AS MATERIALIZED (
    SELECT lock, bool_or(status = 'doing') AS runs,
           min(ARRAY[-CAST(priority AS bigint), id]) FILTER (WHERE status = 'todo') AS first
    FROM {jobs} AS job
    WHERE status IN ('todo', 'doing') AND lock IN (SELECT lock FROM mine)
      AND NOT EXISTS (SELECT FROM unnest(CAST(%(ids)s AS bigint[])) AS taken (id) WHERE taken.id = job.id)
    GROUP BY lock
)
SELECT mine.id FROM mine JOIN others USING (lock) WHERE others.runs OR others.first < mine.place
"""
MARK = "UPDATE {jobs} SET status = 'cancelled' WHERE id = ANY(%(ids)s)"
PERIODICS = "SELECT DISTINCT task_name, periodic_id FROM {periodic} ORDER BY 1, 2"
_STATES: dict[str, State] = {"todo": "waiting", "doing": "running", "failed": "failed"}


class Procrastinate:
    """Its jobs that wait, or those that failed. A moved one is `cancelled` there, which frees its queueing lock too."""

    name = "procrastinate"

    def __init__(self, mapping: Mapping, *, schema: str | None = None, failed: bool = False) -> None:
        self._mapping = mapping
        self._status = "failed" if failed else "todo"
        self._tasks = [task for task, rule in mapping.tasks.items() if not rule.leave]
        names = {"jobs": "procrastinate_jobs", "periodic": "procrastinate_periodic_defers"}
        self._tables = {key: sql.Identifier(*([schema] if schema else []), name) for key, name in names.items()}

    def standings(self, conn: Connection[Any]) -> Sequence[Standing]:
        """Count what waits, runs and failed."""
        rows = conn.execute(self._sql(STANDINGS)).fetchall()
        return [Standing(task, queue, _STATES[status], count) for task, queue, status, count in rows]

    def take(self, conn: Connection[Any], after: Cursor, limit: int, *, lock: bool) -> Sequence[Entry]:
        """Return the next jobs."""
        if after is None:
            return self._page(conn, "true", None, limit, lock=lock)
        found = self._page(conn, SAME, after, limit, lock=lock)
        if len(found) < limit:
            found += self._page(conn, LOWER, after, limit - len(found), lock=lock)
        return found

    def _page(self, conn: Connection[Any], place: str, after: Cursor, limit: int, *, lock: bool) -> list[Entry]:
        priority, identity = (-after[0], after[1]) if after else (None, None)
        queues = self._mapping.queues
        parameters = {
            "tasks": self._tasks,
            "queues": None if queues is None else list(queues),
            "priority": priority,
            "id": identity,
            "limit": limit,
        }
        locking = sql.SQL("FOR NO KEY UPDATE SKIP LOCKED" if lock else "")
        query = self._sql(TAKE, status=sql.Literal(self._status), place=sql.SQL(place), locking=locking)
        with conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(query, parameters).fetchall()
        return [Entry(row["id"], row["task_name"], (-row["priority"], row["id"]), row) for row in rows]

    def translate(self, entry: Entry) -> Sequence[dict[str, Any]]:
        """Return the one notification that a job becomes."""
        row = entry.row
        task = Task(
            key=self._mapping.key(self.name, entry.id),
            id=str(entry.id),
            name=entry.task,
            queue=row["queue_name"],
            body=row["args"],
            priority=self._mapping.priorities.get(row["priority"], level(row["priority"])),
            run_at=row["scheduled_at"],
            line=row["lock"],
            group=row["queueing_lock"],
        )
        return [notification(task, self._mapping.tasks[entry.task])]

    def behind(self, conn: Connection[Any], entries: Sequence[Entry]) -> Collection[int]:
        """Return the jobs whose lock one has that runs, or that stays and goes first."""
        locked = [entry.id for entry in entries if entry.row["lock"] is not None]
        if not locked:
            return ()
        parameters = {"ids": [entry.id for entry in entries], "locked": locked}
        return {identity for (identity,) in conn.execute(self._sql(BEHIND), parameters)}

    def mark(self, conn: Connection[Any], ids: Sequence[int]) -> None:
        """Cancel them, as its own function does."""
        conn.execute(self._sql(MARK), {"ids": list(ids)})

    def periodics(self, conn: Connection[Any]) -> Sequence[Periodic]:
        """Return the periodic tasks that were ever started; when, only the application's code knows."""
        return [Periodic(task, None, identity) for task, identity in conn.execute(self._sql(PERIODICS))]

    def _sql(self, text: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(**self._tables, **more)
