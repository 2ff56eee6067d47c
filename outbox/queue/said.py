"""said: what people said that they want, all of it or some, in the order of the primary key, for an export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg import Connection

PAGE = 5_000

SAID = """
SELECT p.channel, p.recipient, p.topic, p.wanted, p.source, p.updated_at
FROM outbox.preferences p
WHERE (%(channel)s::text IS NULL OR p.channel = %(channel)s)
  AND (%(recipient)s::text IS NULL
       OR p.recipient = CASE WHEN p.channel = 'email' THEN lower(%(recipient)s) ELSE %(recipient)s END)
  AND (%(topic)s::text IS NULL OR p.topic = %(topic)s)
ORDER BY p.channel, p.recipient, p.topic
"""


def said(conn: Connection[Any], filters: Mapping[str, str | None]) -> Iterator[tuple[Any, ...]]:
    """Yield channel, recipient, topic, wanted, source and updated_at of each; the first three may be filtered by."""
    # A cursor of the server's: a million of them are never in memory at once.
    with conn.cursor("outbox_said", row_factory=tuple_row) as cursor:
        cursor.itersize = PAGE
        yield from cursor.execute(SAID, filters)
