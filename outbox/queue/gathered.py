"""gathered: which windows of digests are open, and what waits in them. These statements only read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from outbox.connections import Parameters

WINDOW = """
SELECT d.channel, d.recipient, d.key, d.template, d.topic, d.group_key, d.priority, d.items, d.opened_at, d.closes_at,
       d.time_zone, statement_timestamp(),
       (SELECT concat_ws(', ', p.reason, 'topic ' || nullif(p.topic, ''), 'from ' || nullif(p.sender, ''),
                         'since ' || CAST(p.created_at AS date))
        FROM outbox.suppressions p
        WHERE p.channel = d.channel
          AND p.recipient = CASE WHEN d.channel = 'email' THEN lower(d.recipient) ELSE d.recipient END
          AND p.topic IN ('', coalesce(d.topic, '')) AND (p.until IS NULL OR p.until > d.closes_at)
          AND (p.reason <> 'unsubscribed' OR (d.topic = ANY (CAST(:transactional AS text[]))) IS NOT TRUE)
        ORDER BY outbox.reason_strength(p.reason) DESC, p.topic
        LIMIT 1)
FROM outbox.digests d
WHERE d.id = CAST(CAST(:id AS text) AS uuid)
"""


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """A window that is open: when it closes it becomes a notification, under the id by which it was asked for."""

    channel: str
    recipient: str
    key: str
    template: str | None
    topic: str | None
    group_key: str | None
    priority: int
    items: int
    """How many have come."""
    opened_at: datetime
    closes_at: datetime
    time_zone: str | None
    now: datetime
    """The database's clock, when it was asked."""
    suppression: str | None
    """Why the recipient must not be contacted when it closes, if so."""


def find_window(
    conn: Any,
    id: UUID | str,  # noqa: A002 - the name of the column
    transactional: Sequence[str] = (),
) -> OpenWindow | None:
    """Return the open window whose notification will have this id, or None when there is none.

    The `transactional` topics are those of the configuration that its worker has.

    Raises:
        NotMigrated: the database has no outbox.
    """
    asked: Parameters = {"id": str(id), "transactional": list(transactional)}
    rows = connections.run(conn, WINDOW, asked, allow_autocommit=True)
    return OpenWindow(*rows[0]) if rows else None
