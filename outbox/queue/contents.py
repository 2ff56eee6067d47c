"""contents: what one notification says, for whoever may read that. This statement only reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections
from outbox.messages import Notification

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENTS = """
SELECT n.id, n.channel, n.recipient, n.template, n.locale, CAST(n.payload AS text), n.priority, n.topic, n.group_key,
       CAST(n.headers AS text), n.created_at, date_part('epoch', n.expires_at - statement_timestamp()), n.time_zone
FROM outbox.notifications n
WHERE n.id = CAST(CAST(:id AS text) AS uuid)
"""

_FIELDS = (
    *("channel", "recipient", "template", "locale", "priority", "topic", "group_key"),
    *("created_at", "expires_in", "time_zone"),
)


def read_contents(conn: Any, id: UUID | str) -> Notification | None:  # noqa: A002 - the name of the column
    """Return a notification with its payload and its headers, or None when there is no such notification (any more).

    Raises:
        NotMigrated: the database has no outbox.
        ValueError, RecursionError: the payload or the headers are JSON that Python cannot read.
    """
    rows = connections.run(conn, CONTENTS, {"id": str(id)}, allow_autocommit=True)
    if not rows:
        return None
    row = rows[0]
    headers: Mapping[str, Any] | None = None if row[9] is None else json.loads(row[9])
    said = {"payload": json.loads(row[5]), "headers": headers}
    given = dict(zip(_FIELDS, (*row[1:5], *row[6:9], *row[10:]), strict=True))
    return Notification(UUID(str(row[0])), **given, **said)
