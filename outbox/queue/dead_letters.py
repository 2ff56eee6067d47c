"""dead_letters: look at what could not be delivered. These statements only read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections
from outbox.queue.letter_selection import EVERY, GROUP, MATCHES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from outbox.connections import Parameters
    from outbox.queue.letter_selection import Selection

_COLUMNS = f"""
       d.notification_id, d.channel, d.recipient, d.template, d.topic, d.group_key, d.idempotency_key, d.priority,
       d.reason, d.provider, d.error_class, d.error_code, d.error, d.attempts, d.replays, d.enqueued_at, d.died_at,
       date_part('epoch', statement_timestamp() - d.died_at), d.resolution, d.resolved_at, d.expires_at,
       d.discard_reason, d.replaced_by, {GROUP}
"""

_LISTED = f"""
    FROM outbox.dead_letters d
    WHERE (d.resolution IS NULL OR CAST(CAST(:resolved AS text) AS boolean)) AND {MATCHES}
"""
# Found, and counted, without carrying everything about each of them along.
LIST = f"""
WITH newest AS MATERIALIZED (
    SELECT d.notification_id {_LISTED}
    ORDER BY d.died_at DESC, d.notification_id DESC
    LIMIT CAST(CAST(:limit AS text) AS bigint)
)
SELECT {_COLUMNS}, (SELECT count(*) {_LISTED})
FROM newest l
JOIN outbox.dead_letters d ON d.notification_id = l.notification_id
ORDER BY d.died_at DESC, d.notification_id DESC
"""  # noqa: S608 - of constants, as those below

FIND = f"""
SELECT d.notification_id
FROM outbox.dead_letters d
WHERE d.resolution IS NULL AND {MATCHES}
ORDER BY d.died_at, d.notification_id
LIMIT CAST(CAST(:limit AS text) AS bigint)
"""  # noqa: S608

# With all that they hold; of a role that may not read messages, without asking for these.
EXPORT = f"""
SELECT {_COLUMNS}
FROM unnest(CAST(CAST(:ids AS text[]) AS uuid[])) WITH ORDINALITY AS asked (id, position)
JOIN outbox.dead_letters d ON d.notification_id = asked.id
ORDER BY asked.position
"""  # noqa: S608
EXPORT_WITH_PAYLOAD = EXPORT.replace("\nFROM", ", d.locale, CAST(d.payload AS text), CAST(d.headers AS text)\nFROM", 1)

SHOW = f"""
SELECT {_COLUMNS}, d.locale, CAST(d.payload AS text), CAST(d.headers AS text)
FROM outbox.dead_letters d
WHERE d.notification_id = CAST(CAST(:id AS text) AS uuid)
"""  # noqa: S608


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
    expires_at: datetime | None
    discard_reason: str | None
    replaced_by: UUID | None
    """The notification that was enqueued in its place."""
    group: str
    """The short id of its fingerprint, as `groups()` has it."""


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


def find_dead_letters(conn: Any, selection: Selection, *, limit: int | None = None) -> list[UUID]:
    """Return the ids of the open dead letters that match, oldest first: what `replay` and `discard` take.

    Raises:
        NotMigrated: the database has no outbox.
    """
    parameters: Parameters = {**selection.parameters(), "limit": None if limit is None else str(limit)}
    rows = connections.run(conn, FIND, parameters, allow_autocommit=True)
    return [row[0] if type(row[0]) is UUID else UUID(str(row[0])) for row in rows]  # there may be a million


def show_dead_letter(conn: Any, id: UUID | str) -> tuple[DeadLetter, Contents] | None:  # noqa: A002 - the column's name
    """Return one dead letter, open or not, and what its message said; None when there is none.

    Raises:
        NotMigrated: the database has no outbox.
    """
    rows = connections.run(conn, SHOW, {"id": str(id)}, allow_autocommit=True)
    return (_dead_letter(rows[0]), Contents(*rows[0][_WIDTH:])) if rows else None


def read_dead_letters(
    conn: Any, ids: Sequence[UUID], *, with_payload: bool = False
) -> list[tuple[DeadLetter, Contents | None]]:
    """Return those of the ids that are dead letters, open or not, in order; and what they said only if asked.

    Give it a thousand at a time: payloads may be large.

    Raises:
        NotMigrated: the database has no outbox.
    """
    sql = EXPORT_WITH_PAYLOAD if with_payload else EXPORT
    rows = connections.run(conn, sql, {"ids": [str(identity) for identity in ids]}, allow_autocommit=True)
    return [(_dead_letter(row), Contents(*row[_WIDTH:]) if with_payload else None) for row in rows]


_WIDTH = len(fields(DeadLetter))


def _dead_letter(row: Sequence[Any]) -> DeadLetter:
    return DeadLetter(UUID(str(row[0])), *row[1:_WIDTH])
