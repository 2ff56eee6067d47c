"""successor: what stands for a notification now, after its dead letter was edited or enqueued anew. This only reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from outbox import connections

LATEST = """
SELECT latest.id, (SELECT s.state FROM outbox.status s WHERE s.id = latest.id)
FROM outbox.latest_of(CAST(CAST(:id AS text) AS uuid)) AS latest (id)
"""


@dataclass(frozen=True, slots=True)
class Successor:
    """What was enqueued in the place of a notification, or in the place of that, last."""

    id: UUID
    state: str | None
    """None when it is there no more."""


def successor_of(conn: Any, id: UUID | str) -> Successor:  # noqa: A002 - the name of the column
    """Return what stands for a notification now, which is itself where nothing was enqueued in its place.

    Raises:
        NotMigrated: the database has no outbox.
    """
    ((latest, state),) = connections.run(conn, LATEST, {"id": str(id)}, allow_autocommit=True)
    return Successor(UUID(str(latest)), state)
