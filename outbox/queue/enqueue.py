"""enqueue: a notification is committed with the business write, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections
from outbox.errors import IdempotencyConflict
from outbox.messages import Enqueued
from outbox.queue.draft import FIELDS, Draft

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

ENQUEUE = """
SELECT id, created, conflict, refused_id FROM outbox.enqueue(
    CAST(:channel AS text), CAST(:recipient AS text), CAST(:template AS text), CAST(CAST(:payload AS text) AS jsonb),
    CAST(CAST(:priority AS text) AS integer), CAST(CAST(:run_at AS text) AS timestamptz),
    CAST(CAST(:expires_at AS text) AS timestamptz), CAST(:idempotency_key AS text), CAST(:topic AS text),
    CAST(:group_key AS text), CAST(:locale AS text), CAST(CAST(:headers AS text) AS jsonb),
    CAST(CAST(:delay AS text) AS interval), CAST(CAST(:expires_in AS text) AS interval))
"""

ENQUEUE_MANY = """
SELECT id, created, conflict, refused_id FROM outbox.enqueue_many(
    CAST(:channel AS text[]), CAST(:recipient AS text[]), CAST(:template AS text[]), CAST(:payload AS text[]),
    CAST(:priority AS text[]), CAST(:run_at AS text[]), CAST(:expires_at AS text[]), CAST(:idempotency_key AS text[]),
    CAST(:topic AS text[]), CAST(:group_key AS text[]), CAST(:locale AS text[]), CAST(:headers AS text[]),
    CAST(:delay AS text[]), CAST(:expires_in AS text[]))
"""

CHUNK = 5_000


def enqueue(
    conn: Any,
    *,
    channel: str,
    recipient: str,
    template: str | None = None,
    payload: Mapping[str, Any] | None = None,
    priority: str | int = "normal",
    run_at: datetime | timedelta | None = None,
    expires_at: datetime | timedelta | None = None,
    idempotency_key: str | None = None,
    topic: str | None = None,
    group_key: str | None = None,
    locale: str | None = None,
    headers: Mapping[str, Any] | None = None,
    allow_autocommit: bool = False,
) -> Enqueued:
    """Enqueue one notification in the transaction that `conn` is in. It is sent if, and only if, that commits.

    Args:
        conn: a psycopg Connection, a SQLAlchemy Connection or Session, or Django's connection. Nothing is committed on
            it and no other is opened. For asynchronous connections there is `aenqueue`.
        channel: `email`, or a channel of your own (lower case, digits, underscores) that a worker serves.
        recipient: one address, number, token or URL.
        template: the template to render; without one, the payload is the message.
        payload: the template's variables, or the message itself; JSON, at most 256 KiB.
        priority: `urgent`, `high`, `normal`, `bulk`, or 0 (first) to 9 (last).
        run_at: not before this moment (an aware datetime), or this long from now (a timedelta).
        expires_at: not after this moment, or this long from now: too late is worse than never.
        idempotency_key: one key, one notification, for a channel. A second enqueue with the same content returns the
            first one's id and `created=False`.
        topic: what it is about, for consent.
        group_key: what it belongs to, for cancelling together.
        locale: the language to render in, such as `pt-BR`.
        headers: headers of the message, trace context; a JSON object, at most 16 KiB.
        allow_autocommit: insist on a connection in autocommit mode, where it is committed at once.

    Raises:
        InvalidNotification: an argument was refused (which, and why); nothing reached the database.
        IdempotencyConflict: the key stands for other content; the transaction stays usable.
        NotInTransaction: the connection commits by itself, so this would not be transactional.
        NotMigrated: the database has no outbox schema.
    """
    draft = Draft.of(_given(locals()))
    rows = connections.run(conn, ENQUEUE, draft.parameters(), allow_autocommit=allow_autocommit)
    return _result(draft, rows[0])


async def aenqueue(
    conn: Any,
    *,
    channel: str,
    recipient: str,
    template: str | None = None,
    payload: Mapping[str, Any] | None = None,
    priority: str | int = "normal",
    run_at: datetime | timedelta | None = None,
    expires_at: datetime | timedelta | None = None,
    idempotency_key: str | None = None,
    topic: str | None = None,
    group_key: str | None = None,
    locale: str | None = None,
    headers: Mapping[str, Any] | None = None,
    allow_autocommit: bool = False,
) -> Enqueued:
    """Do as `enqueue` does, on a psycopg, SQLAlchemy or asyncpg connection that is asynchronous."""
    draft = Draft.of(_given(locals()))
    rows = await connections.arun(conn, ENQUEUE, draft.parameters(), allow_autocommit=allow_autocommit)
    return _result(draft, rows[0])


def enqueue_many(
    conn: Any, notifications: Iterable[Mapping[str, Any]], *, allow_autocommit: bool = False
) -> list[Enqueued]:
    """Enqueue many, one statement for each 5,000; returns one result each, in order.

    Each notification is a mapping of the arguments of `enqueue`. All are checked before the first is written.

    Raises:
        InvalidNotification: as `enqueue` does; the field names the position, such as `[3].recipient`.
        IdempotencyConflict: for the first conflict; roll back (or to a savepoint) to be rid of the others of the call.
    """
    drafts = [Draft.of(given, position) for position, given in enumerate(notifications)]
    results: dict[int, Enqueued] = {}
    for chunk in _chunks(drafts):
        columns = _columns([drafts[position] for position in chunk])
        rows = connections.run(conn, ENQUEUE_MANY, columns, allow_autocommit=allow_autocommit)
        results |= {position: _result(drafts[position], row) for position, row in zip(chunk, rows, strict=True)}
    return [results[position] for position in range(len(drafts))]


async def aenqueue_many(
    conn: Any, notifications: Iterable[Mapping[str, Any]], *, allow_autocommit: bool = False
) -> list[Enqueued]:
    """Do as `enqueue_many` does, on an asynchronous connection."""
    drafts = [Draft.of(given, position) for position, given in enumerate(notifications)]
    results: dict[int, Enqueued] = {}
    for chunk in _chunks(drafts):
        columns = _columns([drafts[position] for position in chunk])
        rows = await connections.arun(conn, ENQUEUE_MANY, columns, allow_autocommit=allow_autocommit)
        results |= {position: _result(drafts[position], row) for position, row in zip(chunk, rows, strict=True)}
    return [results[position] for position in range(len(drafts))]


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: arguments[name] for name in FIELDS}


def _chunks(drafts: Sequence[Draft]) -> Iterator[list[int]]:
    """Yield the positions of each chunk, keys in order from chunk to chunk: else two callers could deadlock."""
    order = sorted(range(len(drafts)), key=lambda n: ((drafts[n].idempotency_key or "").encode(), drafts[n].channel))
    for start in range(0, len(order), CHUNK):
        yield sorted(order[start : start + CHUNK])


def _columns(chunk: Sequence[Draft]) -> dict[str, list[str | None]]:
    rows = [draft.parameters() for draft in chunk]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _result(draft: Draft, row: Sequence[Any]) -> Enqueued:
    identity, created, conflict, refused = row
    if conflict:
        raise IdempotencyConflict(draft.channel, draft.idempotency_key or "", _uuid(identity), _uuid(refused))
    return Enqueued(_uuid(identity), created)


def _uuid(value: Any) -> UUID:
    return value if type(value) is UUID else UUID(str(value))
