"""look_up: notifications by what people know of them: whom they were for, or their key. These statements only read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

# There is no index on recipients: what is asked of is one day, which is read through.
BY_RECIPIENT = """
SELECT r.notification_id, r.channel, r.recipient, r.template, r.topic, r.created_at, r.state, r.attempts,
       r.error_class, r.error_code
FROM outbox.audit_by_recipient r
WHERE r.recipient = ANY (CAST(:recipients AS text[]))
  AND r.notification_id >= outbox.uuid7_floor(CAST(CAST(:day AS text) AS timestamp) AT TIME ZONE 'UTC')
  AND r.notification_id <
      outbox.uuid7_floor((CAST(CAST(:day AS text) AS timestamp) + interval '1 day') AT TIME ZONE 'UTC')
ORDER BY r.notification_id DESC
LIMIT CAST(CAST(:limit AS text) AS bigint)
"""

# The primary key begins with the key.
BY_KEY = """
SELECT k.notification_id, k.channel, s.recipient, s.template, s.topic, k.created_at, coalesce(s.state, 'gone'),
       coalesce(s.attempts, 0), s.last_error_class, s.last_error_code
FROM outbox.idempotency_keys k
LEFT JOIN outbox.status s ON s.id = k.notification_id
WHERE k.key = CAST(:key AS text)
ORDER BY k.created_at DESC
LIMIT 100
"""

DAYS = "SELECT d.day FROM outbox.audit_days d WHERE d.day <= current_date ORDER BY d.day DESC"


@dataclass(frozen=True, slots=True)
class Found:
    """One notification of those that were looked for. Its `state` is `gone` where only its key is left."""

    id: UUID
    channel: str
    recipient: str | None
    template: str | None
    topic: str | None
    created_at: datetime
    state: str
    attempts: int
    error_class: str | None
    error_code: str | None


def look_up_recipient(conn: Any, recipient: str, day: date, *, limit: int) -> list[Found]:
    """Return what was enqueued for somebody on a day (UTC), the newest first.

    Raises:
        NotMigrated: the database has no outbox.
    """
    asked: connections.Parameters = {
        "recipients": list({recipient, recipient.lower()}),
        "day": day.isoformat(),
        "limit": str(limit),
    }
    return _found(connections.run(conn, BY_RECIPIENT, asked, allow_autocommit=True))


def look_up_key(conn: Any, key: str) -> list[Found]:
    """Return what an idempotency key stands for, on each channel.

    Raises:
        NotMigrated: the database has no outbox.
    """
    return _found(connections.run(conn, BY_KEY, {"key": key}, allow_autocommit=True))


def list_days(conn: Any) -> Sequence[date]:
    """Return the days (UTC) of which anything is kept, the newest first.

    Raises:
        NotMigrated: the database has no outbox.
    """
    return [row[0] for row in connections.run(conn, DAYS, {}, allow_autocommit=True)]


def _found(rows: Sequence[connections.Row]) -> list[Found]:
    return [Found(UUID(str(row[0])), *row[1:]) for row in rows]
