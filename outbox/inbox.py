"""What a person sees in the application: list it, count it, mark it, on any connection that `enqueue` takes.

Workers that serve the channel `inapp` fill the table `inbox`. To hear of arrivals, LISTEN on `outbox_inbox`: each
NOTIFY carries a recipient.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import UUID

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from outbox.connections import Parameters, Row

_LONGEST_PAGE = 1_000

_PAGE = """
SELECT i.notification_id, i.created_at, i.seen_at, i.read_at, i.archived_at, i.title, i.body, i.url, i.category,
       CAST(i.data AS text), CAST(CAST(extract(epoch FROM i.created_at) * 1000000 AS bigint) AS text)
FROM outbox.inbox i
WHERE i.recipient = CAST(:recipient AS text)
  AND (CAST(:at AS text) IS NULL
       OR (i.created_at, i.notification_id) < (
           CAST('epoch' AS timestamptz) + CAST(CAST(:at AS text) AS bigint) * interval '1 microsecond',
           CAST(CAST(:id AS text) AS uuid)))
  AND (CAST(:category AS text) IS NULL OR i.category = CAST(:category AS text))
  AND (CAST(:unread AS text) IS NULL OR i.read_at IS NULL)
  AND (i.archived_at IS NOT NULL) = CAST(CAST(:archived AS text) AS boolean)
ORDER BY i.created_at DESC, i.notification_id DESC
LIMIT CAST(CAST(:limit AS text) AS bigint)
"""

# What is read was seen, so that all that counts is in the partial index of what is unread.
_COUNT = """
SELECT count(*) FILTER (WHERE i.seen_at IS NULL), count(*)
FROM outbox.inbox i
WHERE i.recipient = CAST(:recipient AS text) AND i.read_at IS NULL AND i.archived_at IS NULL
"""

_MARKS = {
    "seen": ("seen_at = clock_timestamp()", "i.seen_at IS NULL AND i.read_at IS NULL"),
    "read": (
        "read_at = clock_timestamp(), seen_at = coalesce(i.seen_at, clock_timestamp())",
        "i.read_at IS NULL",
    ),
    "unread": ("read_at = NULL", "i.read_at IS NOT NULL"),
    "archived": (
        """archived_at = clock_timestamp(), read_at = coalesce(i.read_at, clock_timestamp()),
           seen_at = coalesce(i.seen_at, clock_timestamp())""",
        "i.archived_at IS NULL",
    ),
    "unarchived": ("archived_at = NULL", "i.archived_at IS NOT NULL"),
}

Mark = Literal["seen", "read", "unread", "archived", "unarchived"]


@dataclass(frozen=True, slots=True)
class Item:
    """One in-app notification. `id` is the notification's."""

    id: UUID
    created_at: datetime
    """When it arrived."""
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None
    title: str
    body: str
    url: str | None
    category: str
    data: Mapping[str, Any]


class Page(NamedTuple):
    """Some items, the newest first. Give `next` as `after` for those that follow; None where there are none."""

    items: Sequence[Item]
    next: str | None


class Counts(NamedTuple):
    """Of what is not archived: how many were never shown, and how many were never opened."""

    unseen: int
    unread: int


def page(
    conn: Any,
    *,
    recipient: str,
    limit: int = 20,
    after: str | None = None,
    category: str | None = None,
    unread: bool = False,
    archived: bool = False,
) -> Page:
    """Return the newest items of one recipient, `limit` at most, from `after` on, which is the `next` of a page.

    With `category`, those of that category; with `unread`, those that were never opened; with `archived`, those that
    were put away instead of those that were not.

    Raises:
        ValueError: `after` is no page's `next`, or `limit` is not from 1 to 1,000.
        NotMigrated: the database has no outbox.
    """
    asked = _asked(recipient, limit, after, category, unread=unread, archived=archived)
    return _paged(connections.run(conn, _PAGE, asked, allow_autocommit=True), limit)


async def apage(
    conn: Any,
    *,
    recipient: str,
    limit: int = 20,
    after: str | None = None,
    category: str | None = None,
    unread: bool = False,
    archived: bool = False,
) -> Page:
    """Do as `page` does, on an asynchronous connection."""
    asked = _asked(recipient, limit, after, category, unread=unread, archived=archived)
    return _paged(await connections.arun(conn, _PAGE, asked, allow_autocommit=True), limit)


def count(conn: Any, *, recipient: str) -> Counts:
    """Return how many items of a recipient are unseen, and unread. Raises NotMigrated: the database has no outbox."""
    (row,) = connections.run(conn, _COUNT, {"recipient": recipient}, allow_autocommit=True)
    return Counts(*row)


async def acount(conn: Any, *, recipient: str) -> Counts:
    """Do as `count` does, on an asynchronous connection."""
    (row,) = await connections.arun(conn, _COUNT, {"recipient": recipient}, allow_autocommit=True)
    return Counts(*row)


def mark(conn: Any, as_: Mark, *, recipient: str, ids: Iterable[UUID | str] | None = None) -> int:
    """Mark items of a recipient as `seen`, `read`, `unread`, `archived` or `unarchived`; returns how many changed.

    `ids` are the items; None is all of them. Those of other recipients are left alone, whoever asks. What is read was
    seen; what is archived was read. It commits with your transaction, or at once in autocommit mode.

    Raises:
        ValueError: there is no such mark, or an id is no UUID.
        NotMigrated: the database has no outbox.
    """
    (row,) = connections.run(conn, *_marking(as_, recipient, ids), allow_autocommit=True)
    return int(row[0])


async def amark(conn: Any, as_: Mark, *, recipient: str, ids: Iterable[UUID | str] | None = None) -> int:
    """Do as `mark` does, on an asynchronous connection."""
    (row,) = await connections.arun(conn, *_marking(as_, recipient, ids), allow_autocommit=True)
    return int(row[0])


def _marking(as_: str, recipient: str, ids: Iterable[UUID | str] | None) -> tuple[str, Parameters]:
    if as_ not in _MARKS:
        raise ValueError(f"there is no mark {as_!r}: it is one of {', '.join(_MARKS)}")
    change, where = _MARKS[as_]
    # The two come from the table above, never from a caller.
    sql = f"""
        WITH marked AS (
            UPDATE outbox.inbox i SET {change}
            WHERE i.notification_id = ANY (ARRAY(
                SELECT i.notification_id FROM outbox.inbox i
                WHERE i.recipient = CAST(:recipient AS text) AND {where}
                  AND (CAST(:ids AS text[]) IS NULL OR i.notification_id = ANY (CAST(CAST(:ids AS text[]) AS uuid[])))
                ORDER BY i.notification_id FOR UPDATE))  -- in one order: two marks at once do not deadlock
            RETURNING 1
        )
        SELECT count(*) FROM marked
    """  # noqa: S608
    return sql, {"recipient": recipient, "ids": None if ids is None else [str(UUID(str(one))) for one in ids]}


def _asked(
    recipient: str, limit: int, after: str | None, category: str | None, *, unread: bool, archived: bool
) -> Parameters:
    if not 1 <= limit <= _LONGEST_PAGE:
        raise ValueError(f"limit is from 1 to {_LONGEST_PAGE}, not {limit}")
    at, identity = _position(after) if after is not None else (None, None)
    return {
        "recipient": recipient,
        "at": at,
        "id": identity,
        "category": category,
        "unread": "true" if unread else None,
        "archived": str(archived).lower(),
        "limit": str(limit + 1),
    }


def _position(after: str) -> tuple[str, str]:
    at, _, identity = after.partition("_")
    try:
        return str(int(at)), str(UUID(identity))
    except ValueError:
        raise ValueError("after is not the `next` of a page") from None


def _paged(rows: Sequence[Row], limit: int) -> Page:
    items = [Item(*(UUID(str(row[0])), *row[1:9], json.loads(row[9]))) for row in rows[:limit]]
    more = len(rows) > limit
    return Page(items, f"{rows[limit - 1][10]}_{items[-1].id}" if more else None)
