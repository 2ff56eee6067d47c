"""enqueue: a notification is committed with the business write, or not at all."""

from __future__ import annotations

from functools import lru_cache
from itertools import compress, repeat
from operator import is_not, itemgetter
from typing import TYPE_CHECKING, Any, NoReturn

from outbox import connections, traces
from outbox.errors import InvalidNotification
from outbox.queue.declared import DECLARED, problem_with, read
from outbox.queue.draft import FIELDS, Draft, enqueued
from outbox.queue.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from outbox.connections import Parameters, Row
    from outbox.messages import Enqueued

# The function says what stands where an idempotency key was taken before, and counts intervals from one moment. Without
# either, an INSERT of the columns in use takes a seventh less of the server's time.
ENQUEUE = """
SELECT id, created, conflict, refused_id FROM outbox.enqueue(
    CAST(:channel AS text), CAST(:recipient AS text), CAST(:template AS text), CAST(CAST(:payload AS text) AS jsonb),
    CAST(CAST(:priority AS text) AS integer), CAST(CAST(:run_at AS text) AS timestamptz),
    CAST(CAST(:expires_at AS text) AS timestamptz), CAST(:idempotency_key AS text), CAST(:topic AS text),
    CAST(:group_key AS text), CAST(:locale AS text), CAST(CAST(:headers AS text) AS jsonb),
    CAST(CAST(:delay AS text) AS interval), CAST(CAST(:expires_in AS text) AS interval), CAST(:ordering_key AS text),
    CAST(:time_zone AS text), CAST(CAST(:unless_read AS text) AS uuid), CAST(CAST(:unless_sent AS text) AS uuid),
    CAST(:trace AS text))
"""
# What was there already, by its idempotency key, takes nothing's place.
SUPERSEDE = f"""
SELECT e.id, e.created, e.conflict, e.refused_id, CASE WHEN e.created THEN outbox.supersede(e.id) END
FROM ({ENQUEUE}) e
"""  # noqa: S608 - of two constants
DIGEST = """
SELECT id, created, false, NULL::uuid FROM outbox.enqueue_digest(
    CAST(:channel AS text), CAST(:recipient AS text), CAST(:digest_key AS text),
    CAST(CAST(:digest_window AS text) AS interval), CAST(CAST(:payload AS text) AS jsonb), CAST(:template AS text),
    CAST(CAST(:priority AS text) AS integer), CAST(:topic AS text), CAST(:group_key AS text), CAST(:locale AS text),
    CAST(CAST(:headers AS text) AS jsonb), CAST(:ordering_key AS text),
    CAST(CAST(:digest_max_items AS text) AS bigint), CAST(CAST(:digest_max_wait AS text) AS interval),
    CAST(:time_zone AS text))
"""
# Of what has a topic, the channel comes from here: where that may not be sent by it there is no row, and no enqueue.
OF_A_TOPIC = "FROM outbox.takes_topic(CAST(:topic AS text), CAST(:channel AS text)) AS of (channel)"
# What is no text, and so is given as its text.
_TYPES = {
    "payload": "jsonb",
    "headers": "jsonb",
    "priority": "smallint",
    "run_at": "timestamptz",
    "expires_at": "timestamptz",
    "unless_read": "uuid",
    "unless_sent": "uuid",
}
_values = itemgetter(*FIELDS)
# What stands for nothing, field by field; to give None for a priority is a mistake.
_NOTHING = [object() if name == "priority" else None for name in FIELDS]


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
    ordering_key: str | None = None,
    time_zone: str | None = None,
    unless_read: UUID | str | None = None,
    unless_sent: UUID | str | None = None,
    supersedes: bool = False,
    digest_key: str | None = None,
    digest_window: timedelta | None = None,
    digest_max_items: int = 100,
    digest_max_wait: timedelta | None = None,
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
        topic: what it is about, for consent; once topics are declared, one of these.
        group_key: what it belongs to, for cancelling together.
        locale: the language to render in, such as `pt-BR`.
        headers: headers of the message; a JSON object, at most 16 KiB.
        time_zone: where the recipient lives, such as `Europe/Berlin`: quiet hours are by the clocks there.
        unless_read: the id of another notification, in-app as a rule: it is not sent once that was read.
        unless_sent: the id of another notification: it is not sent if that was, or was taken back, by then.
        ordering_key: of those with the same key, on one channel, the next is not begun before the one before it ended.
        supersedes: it takes the place of whatever else has its `group_key` on its channel and was not sent, which is
            taken back in the same transaction: the old code does not arrive after the new one.
        digest_key: what is enqueued for this recipient, on this channel, under this key becomes one notification, whose
            payload has `items`, `count`, `first` and `last`. `created` is then False for what joined others.
        digest_window: so long after the first it goes out.
        digest_max_items: as soon as there are so many, it goes out at once.
        digest_max_wait: with it, `digest_window` counts from the latest, and this from the first.
        allow_autocommit: insist on a connection in autocommit mode, where it is committed at once.

    Raises:
        InvalidNotification: an argument was refused (which, and why); nothing reached the database.
        IdempotencyConflict: the key stands for other content; the transaction stays usable.
        NotInTransaction: the connection commits by itself, so this would not be transactional.
        NotMigrated: the database has no outbox schema.
    """
    draft, statement = _prepared(locals())
    rows = connections.run(conn, *statement, allow_autocommit=allow_autocommit)
    if not rows:
        _refuse_topic(draft, connections.run(conn, DECLARED, {}, allow_autocommit=True))
    return enqueued(draft, rows[0])


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
    ordering_key: str | None = None,
    time_zone: str | None = None,
    unless_read: UUID | str | None = None,
    unless_sent: UUID | str | None = None,
    supersedes: bool = False,
    digest_key: str | None = None,
    digest_window: timedelta | None = None,
    digest_max_items: int = 100,
    digest_max_wait: timedelta | None = None,
    allow_autocommit: bool = False,
) -> Enqueued:
    """Do as `enqueue` does, on a psycopg, SQLAlchemy or asyncpg connection that is asynchronous."""
    draft, statement = _prepared(locals())
    rows = await connections.arun(conn, *statement, allow_autocommit=allow_autocommit)
    if not rows:
        _refuse_topic(draft, await connections.arun(conn, DECLARED, {}, allow_autocommit=True))
    return enqueued(draft, rows[0])


def _prepared(arguments: Mapping[str, Any]) -> tuple[Draft, tuple[str, Parameters]]:
    """Check the arguments of an enqueue; return the draft, and the statement with its parameters."""
    draft = Draft.of(_present(FIELDS, _values(arguments), _NOTHING), trace=traces.current())
    window = Window.of(arguments)
    return draft, _statement(draft, window, supersedes=arguments["supersedes"])


def _statement(draft: Draft, window: Window | None, *, supersedes: bool) -> tuple[str, Parameters]:
    """Return what enqueues this draft, and its parameters.

    Raises:
        InvalidNotification: it supersedes, and there is no telling what.
    """
    topical = draft.topic is not None
    if window is not None:
        return _of_a_topic(DIGEST) if topical else DIGEST, draft._asdict() | window._asdict()
    if supersedes:
        if draft.group_key is None:
            raise InvalidNotification("supersedes", "needs a group_key, which all that replace one another have")
        return _of_a_topic(SUPERSEDE) if topical else SUPERSEDE, draft._asdict()
    if draft.idempotency_key or draft.delay or draft.expires_in:
        return _of_a_topic(ENQUEUE) if topical else ENQUEUE, draft._asdict()
    used = _present(Draft._fields, draft, repeat(None))
    return _insert(tuple(used)), used


def _present(names: Iterable[str], values: Sequence[Any], nothing: Iterable[Any]) -> dict[str, Any]:
    """Return the values that are not `nothing`, by name.

    By what is written in C: loops over all fields were a tenth of an enqueue's steps in the client.
    """
    return dict(compress(zip(names, values, strict=True), map(is_not, values, nothing)))


@lru_cache
def _insert(used: tuple[str, ...]) -> str:
    values = {name: f"CAST(CAST(:{name} AS text) AS {_TYPES.get(name, 'text')})" for name in used}
    if "topic" in used:
        values["channel"] = "of.channel"
    columns, given = ", ".join(used), ", ".join(values.values())
    source = f"SELECT {given} {OF_A_TOPIC}" if "topic" in used else f"VALUES ({given})"
    # Names of fields alone, never a value.
    return f"INSERT INTO outbox.notifications ({columns}) {source} RETURNING id"


@lru_cache
def _of_a_topic(sql: str) -> str:
    """Return the statement that calls a function with the channel of a topic: where there is none, it is not called."""
    called = sql.replace("CAST(:channel AS text)", "of.channel", 1)
    return called.replace("FROM outbox.", f"{OF_A_TOPIC} CROSS JOIN LATERAL outbox.", 1)


def _refuse_topic(draft: Draft, rows: Sequence[Row]) -> NoReturn:
    if draft.topic is None:
        raise InvalidNotification("notification", "is kept out by a trigger on outbox.notifications")
    topic = draft.topic
    raise InvalidNotification("topic", problem_with(topic, draft.channel, read(rows)) or f"{topic!r} is not declared")
