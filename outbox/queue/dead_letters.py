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

# Page after page. Of the open ones, channel by channel in the order of the index on (channel, died_at), which stops
# where the page is full; = ANY would read and sort all of a channel.
_BEFORE = """
      (CAST(:before AS text) IS NULL OR d.died_at <= CAST(CAST(:before AS text) AS timestamptz))
  AND (CAST(:before AS text) IS NULL OR d.died_at < CAST(CAST(:before AS text) AS timestamptz)
       OR d.notification_id < CAST(CAST(:before_id AS text) AS uuid))
"""
_FIRST = "ORDER BY d.died_at DESC, d.notification_id DESC LIMIT CAST(CAST(:limit AS text) AS bigint)"
PAGE = f"""
SELECT {_COLUMNS}
FROM outbox.dead_letters d
WHERE (CAST(:state AS text) IS NULL OR d.resolution = CAST(:state AS text)) AND {MATCHES} AND {_BEFORE}
{_FIRST}
"""  # noqa: S608
PAGE_OPEN = f"""
WITH RECURSIVE channels AS (
    SELECT (SELECT min(d.channel) FROM outbox.dead_letters d WHERE d.resolution IS NULL) AS channel
    UNION ALL
    SELECT (SELECT min(d.channel) FROM outbox.dead_letters d WHERE d.resolution IS NULL AND d.channel > c.channel)
    FROM channels c WHERE c.channel IS NOT NULL
)
SELECT {_COLUMNS}
FROM (
    SELECT d.notification_id
    FROM channels c
    CROSS JOIN LATERAL (
        SELECT d.notification_id, d.died_at FROM outbox.dead_letters d
        WHERE d.channel = c.channel AND d.resolution IS NULL AND {MATCHES} AND {_BEFORE}
        {_FIRST}
    ) d
    {_FIRST}
) newest
JOIN outbox.dead_letters d ON d.notification_id = newest.notification_id
ORDER BY d.died_at DESC, d.notification_id DESC
"""  # noqa: S608

FIND = f"""
SELECT d.notification_id
FROM outbox.dead_letters d
WHERE d.resolution IS NULL AND {MATCHES}
ORDER BY d.died_at, d.notification_id
LIMIT CAST(CAST(:limit AS text) AS bigint)
"""  # noqa: S608
# The first few of some channels: in the order of the index, and not of all that match.
FIND_FIRST = f"""
SELECT d.notification_id
FROM unnest(CAST(:channels AS text[])) AS asked (channel)
CROSS JOIN LATERAL (
    SELECT d.notification_id, d.died_at FROM outbox.dead_letters d
    WHERE d.channel = asked.channel AND d.resolution IS NULL AND {MATCHES}
    ORDER BY d.died_at, d.notification_id
    LIMIT CAST(CAST(:limit AS text) AS bigint)
) d
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


def page_dead_letters(
    conn: Any,
    selection: Selection = EVERY,
    *,
    state: str | None = "open",
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[DeadLetter]:
    """Return the newest dead letters, or those that follow one that died then; without counting all there are.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        selection: which.
        state: `open`, `replayed` or `discarded`; None for all of them.
        before: when the last one of the page before died, and its id.
        limit: how many at most.

    Raises:
        NotMigrated: the database has no outbox.
    """
    parameters: Parameters = {
        **selection.parameters(),
        "before": None if before is None else before[0].isoformat(),
        "before_id": None if before is None else str(before[1]),
        "limit": str(limit),
    }
    if state == "open":
        rows = connections.run(conn, PAGE_OPEN, parameters, allow_autocommit=True)
    else:
        rows = connections.run(conn, PAGE, {**parameters, "state": state}, allow_autocommit=True)
    return [_dead_letter(row) for row in rows]


def find_dead_letters(conn: Any, selection: Selection, *, limit: int | None = None) -> list[UUID]:
    """Return the ids of the open dead letters that match, oldest first: what `replay` and `discard` take.

    Raises:
        NotMigrated: the database has no outbox.
    """
    parameters: Parameters = {**selection.parameters(), "limit": None if limit is None else str(limit)}
    sql = FIND_FIRST if limit is not None and selection.channels else FIND
    rows = connections.run(conn, sql, parameters, allow_autocommit=True)
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
