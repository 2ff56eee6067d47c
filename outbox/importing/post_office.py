"""django-post_office (3.x): emails in the table `post_office_email`, their attachments and templates beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row

from outbox.importing.emails import email
from outbox.importing.source import Entry, Standing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from psycopg import Connection

    from outbox.importing.mapping import Mapping
    from outbox.importing.source import Cursor, Periodic, State

# Its sender neither locks what it has in hand nor says so: what is due may be about to be sent. The rest is safe, what
# failed as well: no sender takes that.
STANDINGS = """
SELECT coalesce(t.name, '(no template)'), e.backend_alias, e.status,
       coalesce(e.scheduled_time > clock_timestamp(), false), count(*)
FROM {emails} e LEFT JOIN {templates} t ON t.id = e.template_id
WHERE e.status <> 0 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
TAKE = """
SELECT e.id, e.from_email, e."to" AS recipients, e.cc, e.bcc, e.subject, e.message, e.html_message, e.priority,
       e.scheduled_time, e.expires_at, e.headers, e.context, e.backend_alias, t.name AS template, t.language,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'file', a.file, 'name', a.name, 'type', a.mimetype, 'headers', a.headers) ORDER BY a.id), '[]')
        FROM {links} l JOIN {attachments} a ON a.id = l.attachment_id WHERE l.email_id = e.id) AS attachments
FROM {emails} e LEFT JOIN {templates} t ON t.id = e.template_id
WHERE e.status = ANY(%(statuses)s) AND (CAST(%(id)s AS bigint) IS NULL OR e.id > %(id)s)
  AND (%(safe)s OR e.scheduled_time > clock_timestamp())
ORDER BY e.id LIMIT %(limit)s {locking}
"""
# A status that its sender never looks for, and that its admin offers to requeue.
MARK = "UPDATE {emails} SET status = NULL, last_updated = now() WHERE id = ANY(%(ids)s)"
SENT, FAILED, QUEUED, REQUEUED = range(4)
NO_TEMPLATE = "(no template)"


class PostOffice:
    """Its emails that are queued, or those that failed. A moved one has no status there."""

    name = "post-office"

    def __init__(
        self, mapping: Mapping, *, schema: str | None = None, failed: bool = False, stopped: bool = False
    ) -> None:
        self._mapping = mapping
        self._failed = failed
        self._statuses = [FAILED] if failed else [QUEUED, REQUEUED]
        self._stopped = stopped
        names = {
            "emails": "post_office_email",
            "templates": "post_office_emailtemplate",
            "attachments": "post_office_attachment",
            "links": "post_office_attachment_emails",
        }
        self._tables = {key: sql.Identifier(*([schema] if schema else []), name) for key, name in names.items()}

    def standings(self, conn: Connection[Any]) -> Sequence[Standing]:
        """Count what waits, what a sender may have in hand, and what failed."""
        found = []
        for task, queue, status, later, count in conn.execute(self._sql(STANDINGS)):
            safe: State = "waiting" if later or self._stopped else "running"
            found.append(Standing(task, queue or "default", "failed" if status == FAILED else safe, count))
        return found

    def take(self, conn: Connection[Any], after: Cursor, limit: int, *, lock: bool) -> Sequence[Entry]:
        """Return the next emails."""
        query = self._sql(TAKE, locking=sql.SQL("FOR NO KEY UPDATE OF e SKIP LOCKED" if lock else ""))
        parameters = {
            "statuses": self._statuses,
            "id": after[0] if after else None,
            "safe": self._failed or self._stopped,
            "limit": limit,
        }
        with conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(query, parameters).fetchall()
        return [Entry(row["id"], row["template"] or NO_TEMPLATE, (row["id"],), row) for row in rows]

    def translate(self, entry: Entry) -> Sequence[dict[str, Any]]:
        """Return the notification that an email becomes, or one for each recipient."""
        return email(self._mapping.key(self.name, entry.id), entry.row, self._mapping)

    def behind(self, conn: Connection[Any], entries: Sequence[Entry]) -> Collection[int]:  # noqa: ARG002 - as every source
        """Return nothing: it knows no order."""
        return ()

    def mark(self, conn: Connection[Any], ids: Sequence[int]) -> None:
        """Take their status away."""
        conn.execute(self._sql(MARK), {"ids": list(ids)})

    def periodics(self, conn: Connection[Any]) -> Sequence[Periodic]:  # noqa: ARG002 - as every source
        """Return nothing: it starts nothing by itself."""
        return ()

    def _sql(self, text: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(**self._tables, **more)
