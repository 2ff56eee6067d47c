"""Who must not be contacted: add and remove it in your transaction, and look it up, on any connection of `enqueue`'s.

Every claim looks at these. Adding one also ends what already waits for its recipient.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox import connections
from outbox.addresses import one_form
from outbox.messages import Removed, Suppressed
from outbox.queue.suppress import aadd, add
from outbox.queue.unsuppress import aremove, remove

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from outbox.connections import Parameters, Row

__all__ = [
    "Page",
    "Removed",
    "Suppressed",
    "Suppression",
    "aadd",
    "add",
    "afind",
    "apage",
    "aremove",
    "find",
    "page",
    "remove",
]

_LONGEST_PAGE = 10_000

_FIND = """
SELECT s.channel, s.recipient, nullif(s.topic, ''), nullif(s.sender, ''), s.reason, s.source, s.created_at, s.until
FROM outbox.suppressions s
WHERE s.channel = CAST(:channel AS text)
  AND s.recipient = CASE WHEN CAST(:channel AS text) = 'email' THEN lower(CAST(:recipient AS text))
                    ELSE CAST(:recipient AS text) END
  AND (s.until IS NULL OR s.until > statement_timestamp())
ORDER BY outbox.reason_strength(s.reason) DESC, s.topic, s.sender
"""

_PAGE = """
SELECT s.channel, s.recipient, nullif(s.topic, ''), nullif(s.sender, ''), s.reason, s.source, s.created_at, s.until
FROM outbox.suppressions s
WHERE (s.channel, s.recipient, s.topic, s.sender) > (
          CAST(:after_channel AS text), CAST(:after_recipient AS text), CAST(:after_topic AS text),
          CAST(:after_sender AS text))
  AND (CAST(:channel AS text) IS NULL OR s.channel = CAST(:channel AS text))
  AND (CAST(:recipient AS text) IS NULL
       OR s.recipient = CASE WHEN s.channel = 'email' THEN lower(CAST(:recipient AS text))
                        ELSE CAST(:recipient AS text) END)
  AND (CAST(:topic AS text) IS NULL OR s.topic = CAST(:topic AS text))
  AND (CAST(:reason AS text) IS NULL OR s.reason = CAST(:reason AS text))
  AND (s.until IS NULL OR s.until > statement_timestamp())
ORDER BY s.channel, s.recipient, s.topic, s.sender
LIMIT CAST(CAST(:limit AS text) AS bigint)
"""


@dataclass(frozen=True, slots=True)
class Suppression:
    """One suppression. Without a topic it is about everything; without a sender, from any of ours."""

    channel: str
    recipient: str
    """In its lookup form: lower case in email."""
    topic: str | None
    sender: str | None
    reason: str
    source: str
    created_at: datetime
    until: datetime | None
    """None is for good."""


class Page(NamedTuple):
    """Some suppressions, by channel and recipient. Give `next` as `after` for those that follow; None: none do."""

    items: Sequence[Suppression]
    next: str | None


def find(conn: Any, *, channel: str, recipient: str) -> list[Suppression]:
    """Return what keeps a recipient from being contacted on a channel now, the strongest reason first.

    Raises:
        NotMigrated: the database has no outbox.
    """
    asked = {"channel": channel, "recipient": one_form(channel, recipient)}
    return [Suppression(*row) for row in connections.run(conn, _FIND, asked, allow_autocommit=True)]


async def afind(conn: Any, *, channel: str, recipient: str) -> list[Suppression]:
    """Do as `find` does, on an asynchronous connection."""
    asked = {"channel": channel, "recipient": one_form(channel, recipient)}
    return [Suppression(*row) for row in await connections.arun(conn, _FIND, asked, allow_autocommit=True)]


def page(
    conn: Any,
    *,
    channel: str | None = None,
    recipient: str | None = None,
    topic: str | None = None,
    reason: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Page:
    """Return the suppressions that hold now, `limit` at most, from `after` on, which is the `next` of a page.

    Raises:
        ValueError: `after` is no page's `next`, or `limit` is not from 1 to 10,000.
        NotMigrated: the database has no outbox.
    """
    asked = _asked(limit, after, channel=channel, recipient=recipient, topic=topic, reason=reason)
    return _paged(connections.run(conn, _PAGE, asked, allow_autocommit=True), limit)


async def apage(
    conn: Any,
    *,
    channel: str | None = None,
    recipient: str | None = None,
    topic: str | None = None,
    reason: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Page:
    """Do as `page` does, on an asynchronous connection."""
    asked = _asked(limit, after, channel=channel, recipient=recipient, topic=topic, reason=reason)
    return _paged(await connections.arun(conn, _PAGE, asked, allow_autocommit=True), limit)


def _asked(limit: int, after: str | None, **filters: str | None) -> Parameters:
    if not 1 <= limit <= _LONGEST_PAGE:
        raise ValueError(f"limit is from 1 to {_LONGEST_PAGE:,}, not {limit}")
    key = _key(after) if after is not None else [filters["channel"] or "", "", "", ""]
    place = dict(zip(("after_channel", "after_recipient", "after_topic", "after_sender"), key, strict=True))
    return {**filters, **place, "limit": str(limit + 1)}


def _key(after: str) -> list[str]:
    try:
        key = json.loads(base64.urlsafe_b64decode(after))
        if isinstance(key, list) and [type(part) for part in key] == [str] * 4:
            return key
    except ValueError:
        pass
    raise ValueError("after is not the `next` of a page")


def _paged(rows: Sequence[Row], limit: int) -> Page:
    items = [Suppression(*row) for row in rows[:limit]]
    if len(rows) <= limit:
        return Page(items, None)
    last = items[-1]
    key = json.dumps([last.channel, last.recipient, last.topic or "", last.sender or ""])
    return Page(items, base64.urlsafe_b64encode(key.encode()).decode())
