"""What was enqueued, as a test sees it: whole, with its payload, and with how it stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.queue.own import OWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from outbox.connections import Parameters, Row
    from outbox.steps import Steps

# What waits in the window of a digest is no notification yet; each that joined it was enqueued all the same.
_OF_NOTIFICATIONS = f"""
SELECT n.id, n.channel, n.recipient, n.template, CAST(n.payload AS text), n.priority, n.topic, n.group_key,
       n.idempotency_key, n.ordering_key, n.locale, n.time_zone, CAST(n.headers AS text), n.run_at, n.expires_at,
       n.created_at, s.state
FROM outbox.notifications n
JOIN outbox.status s ON s.id = n.id
WHERE {OWN}
ORDER BY n.id
"""  # noqa: S608 - of two constants
_OF_DIGESTS = f"""
SELECT d.id, d.channel, d.recipient, d.template, CAST(n.payload AS text), d.priority, d.topic, d.group_key,
       NULL, d.ordering_key, d.locale, d.time_zone, CAST(d.headers AS text), d.closes_at, NULL, d.opened_at, 'gathering'
FROM outbox.digest_items n
JOIN outbox.digests d ON d.id = n.digest_id
WHERE {OWN}
ORDER BY n.position
"""  # noqa: S608 - as above


class Outgoing(NamedTuple):
    """One notification that was enqueued."""

    id: UUID
    channel: str
    recipient: str
    template: str | None
    payload: Mapping[str, Any]
    priority: int
    topic: str | None
    group_key: str | None
    idempotency_key: str | None
    ordering_key: str | None
    locale: str | None
    time_zone: str | None
    headers: Mapping[str, Any] | None
    run_at: datetime
    expires_at: datetime | None
    created_at: datetime
    state: str
    """As in `outbox.status`, such as `due` or `scheduled`; `gathering` in an open window of a digest."""


def outgoing(committed: str) -> Steps[list[Outgoing]]:
    """Return what was enqueued, oldest first: by this transaction, or (`committed` is "true") by anybody."""
    whose: Parameters = {"committed": committed}
    return _read((yield _OF_NOTIFICATIONS, whose)) + _read((yield _OF_DIGESTS, whose))


def _read(rows: Sequence[Row]) -> list[Outgoing]:
    return [Outgoing._make(row)._replace(payload=json.loads(row[4]), headers=_loaded(row[12])) for row in rows]


def _loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)
