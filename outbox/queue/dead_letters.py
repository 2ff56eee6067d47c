"""dead_letters: look at what could not be delivered. These statements only read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from outbox.connections import Parameters

LIST = """
SELECT d.notification_id, d.channel, d.recipient, d.template, d.topic, d.group_key, d.idempotency_key, d.priority,
       d.reason, d.provider, d.error_class, d.error_code, d.error, d.attempts, d.replays, d.enqueued_at, d.died_at,
       date_part('epoch', statement_timestamp() - d.died_at), d.resolution, d.resolved_at, count(*) OVER ()
FROM outbox.dead_letters d
WHERE (d.resolution IS NULL OR CAST(CAST(:resolved AS text) AS boolean))
  AND (CAST(:channels AS text[]) IS NULL OR d.channel = ANY (CAST(:channels AS text[])))
  AND (CAST(:error_classes AS text[]) IS NULL OR d.error_class = ANY (CAST(:error_classes AS text[])))
  AND (CAST(:reasons AS text[]) IS NULL OR d.reason = ANY (CAST(:reasons AS text[])))
  AND (CAST(:since AS text) IS NULL
       OR d.died_at >= statement_timestamp() - make_interval(secs => CAST(CAST(:since AS text) AS float8)))
ORDER BY d.died_at DESC, d.notification_id DESC
LIMIT CAST(CAST(:limit AS text) AS bigint)
"""

FIND = """
SELECT d.notification_id
FROM outbox.dead_letters d
WHERE d.resolution IS NULL
  AND (CAST(:channels AS text[]) IS NULL OR d.channel = ANY (CAST(:channels AS text[])))
  AND (CAST(:error_classes AS text[]) IS NULL OR d.error_class = ANY (CAST(:error_classes AS text[])))
  AND (CAST(:reasons AS text[]) IS NULL OR d.reason = ANY (CAST(:reasons AS text[])))
  AND (CAST(:since AS text) IS NULL
       OR d.died_at >= statement_timestamp() - make_interval(secs => CAST(CAST(:since AS text) AS float8)))
ORDER BY d.died_at, d.notification_id
"""

SHOW = """
SELECT d.notification_id, d.channel, d.recipient, d.template, d.topic, d.group_key, d.idempotency_key, d.priority,
       d.reason, d.provider, d.error_class, d.error_code, d.error, d.attempts, d.replays, d.enqueued_at, d.died_at,
       date_part('epoch', statement_timestamp() - d.died_at), d.resolution, d.resolved_at, d.locale,
       CAST(d.payload AS text), CAST(d.headers AS text)
FROM outbox.dead_letters d
WHERE d.notification_id = CAST(CAST(:id AS text) AS uuid)
"""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters: those that match every part that is given, and any one of the values of a part.

    `since` is in seconds: those that died so long ago or later.
    """

    channels: Sequence[str] = ()
    error_classes: Sequence[str] = ()
    reasons: Sequence[str] = ()
    since: float | None = None

    def parameters(self) -> dict[str, str | list[str | None] | None]:
        """Return the statements' parameters by name."""
        return {
            "channels": list(self.channels) or None,
            "error_classes": list(self.error_classes) or None,
            "reasons": list(self.reasons) or None,
            "since": None if self.since is None else str(self.since),
        }


EVERY = Selection()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter, without what the message said."""

    id: UUID
    channel: str
    recipient: str
    template: str | None
    topic: str | None
    group_key: str | None
    idempotency_key: str | None
    priority: int
    reason: str
    provider: str | None
    error_class: str | None
    error_code: str | None
    error: str | None
    attempts: int
    replays: int
    enqueued_at: datetime
    died_at: datetime
    died_seconds_ago: float
    resolution: str | None
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a dead letter's message said: `payload` and `headers` are JSON. Personal data, and perhaps secrets."""

    locale: str | None
    payload: str
    headers: str | None

    def __repr__(self) -> str:
        """Hide it: a repr ends in logs."""
        return "Contents(…)"


def list_dead_letters(
    conn: Any, selection: Selection = EVERY, *, limit: int | None = None, resolved: bool = False
) -> tuple[list[DeadLetter], int]:
    """Return the newest dead letters, and how many there are without the limit. `resolved` adds those no longer open.

    Raises:
        NotMigrated: the database has no outbox.
    """
    parameters: Parameters = {
        **selection.parameters(),
        "limit": None if limit is None else str(limit),
        "resolved": str(resolved),
    }
    rows = connections.run(conn, LIST, parameters, allow_autocommit=True)
    return [_dead_letter(row) for row in rows], rows[0][-1] if rows else 0


def find_dead_letters(conn: Any, selection: Selection) -> list[UUID]:
    """Return the ids of the open dead letters that match, oldest first: what `replay` and `discard` take.

    Raises:
        NotMigrated: the database has no outbox.
    """
    rows = connections.run(conn, FIND, selection.parameters(), allow_autocommit=True)
    return [UUID(str(row[0])) for row in rows]


def show_dead_letter(conn: Any, id: UUID | str) -> tuple[DeadLetter, Contents] | None:  # noqa: A002 - the column's name
    """Return one dead letter, open or not, and what its message said; None when there is none.

    Raises:
        NotMigrated: the database has no outbox.
    """
    rows = connections.run(conn, SHOW, {"id": str(id)}, allow_autocommit=True)
    return (_dead_letter(rows[0]), Contents(*rows[0][20:])) if rows else None


def _dead_letter(row: Sequence[Any]) -> DeadLetter:
    return DeadLetter(UUID(str(row[0])), *row[1:20])
