"""audit: write down who did what by hand, in the transaction that does it; and read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

RECORD = """
INSERT INTO outbox.audit (actor, action, subject, reason, details)
VALUES (CAST(:actor AS text), CAST(:action AS text), CAST(:subject AS text), CAST(:reason AS text),
        CAST(CAST(:details AS text) AS jsonb))
RETURNING id
"""

# What `RECORD` needs, column by column: roles are granted no more. Where there is no such table yet, nobody may.
MAY_RECORD = """
SELECT bool_and(has_column_privilege(CAST(to_regclass('outbox.audit') AS oid), needed.name, needed.privilege)) IS TRUE
FROM (VALUES ('id', 'SELECT'), ('actor', 'INSERT'), ('action', 'INSERT'), ('subject', 'INSERT'), ('reason', 'INSERT'),
             ('details', 'INSERT')) AS needed (name, privilege)
"""

LIST = """
SELECT a.id, a.at, a.actor, a.login, a.action, a.subject, a.reason, CAST(a.details AS text)
FROM outbox.audit a
WHERE (CAST(:subject AS text) IS NULL OR a.subject = CAST(:subject AS text))
  AND (CAST(:actor AS text) IS NULL OR a.actor = CAST(:actor AS text))
  AND (CAST(:actions AS text[]) IS NULL OR a.action = ANY (CAST(:actions AS text[])))
  AND (CAST(:seconds AS text) IS NULL
       OR a.at > statement_timestamp() - make_interval(secs => CAST(CAST(:seconds AS text) AS float8)))
  AND (CAST(:before AS text) IS NULL OR a.id < CAST(CAST(:before AS text) AS bigint))
ORDER BY a.id DESC
LIMIT CAST(CAST(:limit AS text) AS bigint)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that somebody did: `actor` to `subject`, with the database's `login`."""

    id: int
    at: datetime
    actor: str
    login: str
    action: str
    subject: str
    reason: str | None
    details: Mapping[str, Any]


def record(
    conn: Any,
    *,
    actor: str,
    action: str,
    subject: str,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> int:
    """Write down what is being done, in the transaction that `conn` is in; returns the entry's id.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        actor: who does it, as the program knows them: up to 200 characters.
        action: the verb, as the command is called: `pause`, `replay`.
        subject: what it is done to: `channel:email`, an id, a filter in words; up to 200 characters.
        reason: why, in the actor's words; up to 1,000 characters.
        details: counts and settings, as JSON has them. Nothing of a message, nor of whom it is for: this is kept for
            good, and erasing a person does not look here.

    Raises:
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    parameters: connections.Parameters = {
        "actor": actor,
        "action": action,
        "subject": subject,
        "reason": reason,
        "details": json.dumps(details or {}, ensure_ascii=False, default=str),
    }
    return int(connections.run(conn, RECORD, parameters)[0][0])


def may_record(conn: Any) -> bool:
    """Tell whether the login that `conn` has may write down what it does: an application's, for one, may not."""
    return bool(connections.run(conn, MAY_RECORD, {}, allow_autocommit=True)[0][0])


def list_audit(
    conn: Any,
    *,
    subject: str | None = None,
    actor: str | None = None,
    actions: Sequence[str] = (),
    before: int | None = None,
    since: timedelta | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Return what was done, the newest first; `before` is the id that a page before it ended with.

    `since` is how long ago it was done at most, by the database's clock.

    Raises:
        NotMigrated: the database has no outbox.
    """
    parameters: connections.Parameters = {
        "subject": subject,
        "actor": actor,
        "actions": list(actions) or None,
        "before": None if before is None else str(before),
        "seconds": None if since is None else str(since.total_seconds()),
        "limit": str(limit),
    }
    rows = connections.run(conn, LIST, parameters, allow_autocommit=True)
    return [Entry(*(*row[:-1], json.loads(row[-1]))) for row in rows]
