"""edit: enqueue a dead letter with another recipient or payload, in its place. What was enqueued is never changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

from outbox import connections
from outbox.errors import InvalidNotification
from outbox.messages import Notification
from outbox.queue.audit import record
from outbox.queue.draft import Draft
from outbox.queue.judge import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from outbox.connections import Parameters, Row

WhyNot: TypeAlias = Verdict | Literal["unchanged"]

# By itself, so that what follows reads what was committed while this waited.
LOCK = """
SELECT d.notification_id FROM outbox.dead_letters d
WHERE d.notification_id = CAST(CAST(:id AS text) AS uuid)
FOR UPDATE
"""

READ = """
SELECT d.channel, d.recipient, d.template, d.locale, CAST(d.payload AS text), d.priority, d.topic, d.group_key,
       CAST(d.headers AS text), d.enqueued_at, d.time_zone
FROM outbox.dead_letters d
WHERE d.notification_id = CAST(CAST(:id AS text) AS uuid)
"""

FREE_KEY = """
DELETE FROM outbox.idempotency_keys k
USING outbox.dead_letters d
WHERE d.notification_id = CAST(CAST(:id AS text) AS uuid)
  AND k.key = d.idempotency_key AND k.channel = d.channel AND k.notification_id = d.notification_id
RETURNING encode(k.digest, 'hex')
"""

# Who took the key since we looked is reported, and undoes nothing. A topic that was declared once does.
REPORT_CONFLICTS = """
SELECT set_config('outbox.on_conflict', 'report', true), set_config('outbox.any_topic', 'on', true)
"""
RAISE_CONFLICTS = "SELECT set_config('outbox.on_conflict', '', true), set_config('outbox.any_topic', '', true)"

ENQUEUE = """
WITH made AS (
    INSERT INTO outbox.notifications
        (priority, channel, recipient, template, locale, payload, headers, topic, group_key, idempotency_key,
         ordering_key, time_zone, expires_at, unless_read, unless_sent)
    SELECT d.priority, d.channel, coalesce(CAST(:recipient AS text), d.recipient), d.template, d.locale,
           coalesce(CAST(CAST(:payload AS text) AS jsonb), d.payload), d.headers, d.topic, d.group_key,
           CASE WHEN CAST(:digest AS text) IS NOT NULL THEN d.idempotency_key END, d.ordering_key, d.time_zone,
           CASE WHEN n.id IS NULL THEN d.expires_at ELSE n.expires_at END,
           CASE WHEN n.id IS NULL THEN d.unless_read ELSE n.unless_read END,
           CASE WHEN n.id IS NULL THEN d.unless_sent ELSE n.unless_sent END
    FROM outbox.dead_letters d
    LEFT JOIN LATERAL (  -- letters of an earlier version's workers have no copy of these
        SELECT m.id, m.expires_at, m.unless_read, m.unless_sent
        FROM outbox.notifications m WHERE m.id = d.notification_id LIMIT 1
    ) n ON true
    WHERE d.notification_id = CAST(CAST(:id AS text) AS uuid)
    RETURNING id
)
UPDATE outbox.dead_letters d
SET resolution = 'replayed', resolved_at = clock_timestamp(), replays = d.replays + 1, replaced_by = made.id
FROM made
WHERE d.notification_id = CAST(CAST(:id AS text) AS uuid)
RETURNING made.id
"""

# A key that has not expired stands for the edited one from now on, and still for what the application said with it:
# whoever enqueues that again is told of the edited one, and of no conflict.
KEEP_DIGEST = """
UPDATE outbox.idempotency_keys k
SET digest = decode(CAST(:digest AS text), 'hex')
FROM outbox.dead_letters d
WHERE d.notification_id = CAST(CAST(:id AS text) AS uuid)
  AND k.key = d.idempotency_key AND k.channel = d.channel AND k.notification_id = d.replaced_by
RETURNING k.key
"""


@dataclass(frozen=True, slots=True)
class Edited:
    """What `edit` did: `new_id` was enqueued in the place of `id`, with `changed` fields; or `why_not`.

    That is `unknown`, `replayed` or `discarded` for what is no open dead letter; `queued` or `sent` for one that is
    being delivered, or was after all; `key_taken` where its idempotency key stands for another notification by now;
    `unchanged` where nothing would be different: `replay` is for that. `is_expired` where it is past its `expires_at`:
    the next claim ends it unsent.
    """

    id: UUID
    new_id: UUID | None
    changed: tuple[str, ...]
    why_not: WhyNot | None
    is_expired: bool = False


def edit(
    conn: Any,
    id: UUID | str,  # noqa: A002 - the name of the column
    *,
    recipient: str | None = None,
    payload: Mapping[str, Any] | None = None,
    check: Callable[[Notification], object] | None = None,
    actor: str | None = None,
    reason: str | None = None,
) -> Edited:
    """Enqueue a dead letter with another recipient or payload under a new id, in the transaction that `conn` is in.

    The letter is replayed by it, and names the new id. All else is as it was enqueued, when it expires and what it
    waits for included; whom nobody may contact still gets nothing. Its idempotency key goes over to the new one, unless
    that has expired: then the new one has none.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        id: the dead letter's notification.
        recipient: the new one; without it, it stays.
        payload: the whole of the new one; without it, it stays.
        check: called with what would be enqueued, before it is: raises what its template has against it, say.
        actor: who does it, for the audit, which is told what was changed and not to what; without one, it is not told.
        reason: why, in their words.

    Raises:
        InvalidNotification: as `enqueue`; or whatever `check` raises. Nothing was written.
        ValueError: the id is no UUID.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    identity = UUID(str(id))
    asked: Parameters = {"id": str(identity)}
    connections.run(conn, LOCK, asked)
    (judged,) = judge(conn, [identity], max_replays=None)
    if judged.verdict not in {"replay", "anew"}:
        return Edited(identity, None, (), judged.verdict)
    old = _notification(identity, connections.run(conn, READ, asked)[0], needs_payload=payload is None)
    new = old._replace(
        recipient=old.recipient if recipient is None else recipient, payload=old.payload if payload is None else payload
    )
    draft = Draft.of({name: getattr(new, name) for name in ("channel", "recipient", "payload", "headers")})
    changed = tuple(name for name in ("recipient", "payload") if getattr(new, name) != getattr(old, name))
    if not changed:
        return Edited(identity, None, (), "unchanged")
    if check is not None:
        check(new)
    written: Parameters = {name: getattr(draft, name) if name in changed else None for name in ("recipient", "payload")}
    new_id = _put_in_place(conn, asked, written)
    if new_id is None:
        return Edited(identity, None, (), "key_taken")
    if actor is not None:
        details = {"changed": changed, "new_id": new_id}
        record(conn, actor=actor, action="edit", subject=str(identity), reason=reason, details=details)
    return Edited(identity, new_id, changed, None, judged.is_expired)


def _put_in_place(conn: Any, asked: Parameters, written: Parameters) -> UUID | None:
    """Enqueue it; None where its key is somebody else's, or erased."""
    freed = connections.run(conn, FREE_KEY, asked)
    connections.run(conn, REPORT_CONFLICTS, {})
    digest = freed[0][0] if freed else None
    made = connections.run(conn, ENQUEUE, {**asked, **written, "digest": digest})
    connections.run(conn, RAISE_CONFLICTS, {})
    if made and freed:
        connections.run(conn, KEEP_DIGEST, {**asked, "digest": digest})
    return UUID(str(made[0][0])) if made else None


def _read(name: str, text: str, *, needed: bool) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # a number of thousands of digits, or nested thousands deep
        if needed:
            problem = "cannot be read; another payload can be given, and no other headers"
            raise InvalidNotification(name, problem) from None
        return None


def _notification(identity: UUID, row: Row, *, needs_payload: bool) -> Notification:
    channel, recipient, template, locale, payload, priority, topic, group_key, headers, created_at, time_zone = row
    return Notification(
        id=identity,
        channel=channel,
        recipient=recipient,
        template=template,
        locale=locale,
        payload=_read("payload", payload, needed=needs_payload),
        priority=priority,
        topic=topic,
        group_key=group_key,
        headers=headers and _read("headers", headers, needed=True),
        created_at=created_at,
        time_zone=time_zone,
    )
