"""gathered: which windows of digests are open, and what waits in them. These statements only read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import connections

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

WINDOW = """
SELECT d.channel, d.recipient, d.key, d.template, d.topic, d.group_key, d.priority, d.items, d.opened_at, d.closes_at,
       statement_timestamp()
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
    now: datetime
    """The database's clock, when it was asked."""


def find_window(conn: Any, id: UUID | str) -> OpenWindow | None:  # noqa: A002 - the name of the column
    """Return the open window whose notification will have this id, or None when there is none.

    Raises:
        NotMigrated: the database has no outbox.
    """
    rows = connections.run(conn, WINDOW, {"id": str(id)}, allow_autocommit=True)
    return OpenWindow(*rows[0]) if rows else None
