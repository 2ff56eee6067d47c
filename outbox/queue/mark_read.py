"""mark_read: a person has read it, and what was to be sent unless that is so ends, in the same transaction."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from outbox import connections

MARK_READ = "SELECT 1 FROM outbox.mark_read(CAST(CAST(:id AS text) AS uuid))"


def mark_read(
    conn: Any,
    id: UUID | str,  # noqa: A002 - the name of the column
    *,
    allow_autocommit: bool = False,
) -> None:
    """Say, in the transaction that `conn` is in, that a notification was read: a push that was tapped on, say.

    What has it as `unless_read` and was not sent ends as `cancelled`. An in-app notification is marked as read as well,
    as `inbox.mark` does it; of others nothing is kept, so that this ends nothing that is enqueued later.

    Raises:
        ValueError: `id` is no UUID.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    connections.run(conn, MARK_READ, {"id": str(UUID(str(id)))}, allow_autocommit=allow_autocommit)


async def amark_read(
    conn: Any,
    id: UUID | str,  # noqa: A002 - the name of the column
    *,
    allow_autocommit: bool = False,
) -> None:
    """Do as `mark_read` does, on an asynchronous connection."""
    await connections.arun(conn, MARK_READ, {"id": str(UUID(str(id)))}, allow_autocommit=allow_autocommit)
