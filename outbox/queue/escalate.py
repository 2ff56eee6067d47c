"""escalate: one person is told in several ways, one after another, until it was read, or sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections, traces
from outbox.errors import IdempotencyConflict, InvalidNotification
from outbox.escalation import channels_of, check_steps
from outbox.messages import Escalated
from outbox.queue.declared import DECLARED, problem_with, read
from outbox.queue.draft import Draft, check_channel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from outbox.connections import Parameters, Row

STEPS = "SELECT array_to_string(outbox.escalation_of(CAST(:topic AS text)), ',')"

ESCALATE = """
SELECT channel, id, created, conflict, refused_id, belongs_to FROM outbox.escalate(
    CAST(CAST(:recipients AS text) AS jsonb), CAST(:topic AS text), CAST(:template AS text),
    CAST(CAST(:payload AS text) AS jsonb), CAST(CAST(:priority AS text) AS integer),
    CAST(CAST(:run_at AS text) AS timestamptz), CAST(CAST(:expires_at AS text) AS timestamptz),
    CAST(:idempotency_key AS text), CAST(:group_key AS text), CAST(:locale AS text),
    CAST(CAST(:headers AS text) AS jsonb), CAST(CAST(:delay AS text) AS interval),
    CAST(CAST(:expires_in AS text) AS interval), CAST(:time_zone AS text), CAST(:steps AS text[]),
    CAST(:trace AS text))
"""
_SHARED = (
    *("topic", "template", "payload", "priority", "run_at", "expires_at", "idempotency_key", "group_key", "locale"),
    *("headers", "time_zone"),
)


def escalate(
    conn: Any,
    *,
    to: Mapping[str, str | None],
    topic: str | None = None,
    steps: Sequence[str] | None = None,
    template: str | None = None,
    payload: Mapping[str, Any] | None = None,
    priority: str | int = "normal",
    run_at: datetime | timedelta | None = None,
    expires_at: datetime | timedelta | None = None,
    idempotency_key: str | None = None,
    group_key: str | None = None,
    locale: str | None = None,
    headers: Mapping[str, Any] | None = None,
    time_zone: str | None = None,
    allow_autocommit: bool = False,
) -> Escalated:
    """Enqueue, in the transaction that `conn` is in, what tells one person in several ways, one after another.

    Each step is a notification of its own, due after the waits before it, which ends unsent when what it follows was
    read, or was sent. All have the same content, topic and keys.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        to: the person's address on each channel. Steps without one are left out; the first that has one goes at once.
        topic: what it is about. Its `escalation` in the configuration of the workers has the steps.
        steps: the steps, such as `["inapp", "wait 5m unless read", "email"]`, instead of those of the topic.
        template: the template to render; it has the parts of every channel.
        payload: the template's variables, or the message itself.
        priority: of each step, as for `enqueue`.
        run_at: when the first step is due; the others follow it.
        expires_at: no step is sent after this moment.
        idempotency_key: one for the whole escalation: where it was there, nothing is enqueued.
        group_key: what all steps belong to; without one, they get one of their own.
        locale: the language to render in.
        headers: headers of the message.
        time_zone: where the person lives.
        allow_autocommit: insist on a connection in autocommit mode.

    Raises:
        InvalidNotification: an argument was refused (which, and why), or there are no steps; nothing reached the
            database.
        IdempotencyConflict: the key stands for something else; the transaction stays usable.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    given = locals()
    words = _checked(steps)
    if words is None:
        ((declared,),) = connections.run(conn, STEPS, {"topic": topic}, allow_autocommit=allow_autocommit)
        words = _declared(topic, declared)
    if topic is not None:
        _refuse_topic(topic, words, to, connections.run(conn, DECLARED, {}, allow_autocommit=allow_autocommit))
    rows = connections.run(conn, ESCALATE, _parameters(given, words), allow_autocommit=allow_autocommit)
    return _escalated(rows, idempotency_key)


async def aescalate(
    conn: Any,
    *,
    to: Mapping[str, str | None],
    topic: str | None = None,
    steps: Sequence[str] | None = None,
    template: str | None = None,
    payload: Mapping[str, Any] | None = None,
    priority: str | int = "normal",
    run_at: datetime | timedelta | None = None,
    expires_at: datetime | timedelta | None = None,
    idempotency_key: str | None = None,
    group_key: str | None = None,
    locale: str | None = None,
    headers: Mapping[str, Any] | None = None,
    time_zone: str | None = None,
    allow_autocommit: bool = False,
) -> Escalated:
    """Do as `escalate` does, on an asynchronous connection."""
    given = locals()
    words = _checked(steps)
    if words is None:
        ((declared,),) = await connections.arun(conn, STEPS, {"topic": topic}, allow_autocommit=allow_autocommit)
        words = _declared(topic, declared)
    if topic is not None:
        _refuse_topic(topic, words, to, await connections.arun(conn, DECLARED, {}, allow_autocommit=allow_autocommit))
    rows = await connections.arun(conn, ESCALATE, _parameters(given, words), allow_autocommit=allow_autocommit)
    return _escalated(rows, idempotency_key)


def _checked(steps: Sequence[str] | None) -> tuple[str, ...] | None:
    if steps is None:
        return None
    if isinstance(steps, str):
        raise InvalidNotification("steps", 'must be a list, such as ["inapp", "wait 5m unless read", "email"]')
    try:
        return check_steps(steps)
    except ValueError as error:
        raise InvalidNotification("steps", str(error)) from None


def _refuse_topic(topic: str, words: Sequence[str], to: Mapping[str, str | None], rows: Sequence[Row]) -> None:
    """Refuse a topic that is not declared, or not for the channel of a step that somebody is told by."""
    declared = read(rows)
    for channel in channels_of(words):
        if to.get(channel) and (problem := problem_with(topic, channel, declared)):
            raise InvalidNotification("topic", problem)


def _declared(topic: str | None, declared: str | None) -> tuple[str, ...]:
    if topic is None:
        raise InvalidNotification("steps", "are missing: give them, or a topic that has an escalation")
    if declared is None:
        raise InvalidNotification(
            "topic",
            f"{topic!r} has no escalation that a worker knew when it started: write escalation under [topics.{topic}], "
            "and start the workers anew, or give steps",
        )
    return tuple(declared.split(","))


def _parameters(given: Mapping[str, Any], steps: Sequence[str]) -> Parameters:
    if not isinstance(given["to"], Mapping):
        raise InvalidNotification("to", f"must be a mapping of channels to addresses, not {type(given['to']).__name__}")
    recipients = {check_channel(channel): address for channel, address in given["to"].items() if address}
    drafts = {}
    for channel in channels_of(steps):
        if channel in recipients:
            drafts[channel] = _draft(given, channel, recipients[channel])
    if not drafts:
        raise InvalidNotification("to", f"has an address for none of the steps: {', '.join(channels_of(steps))}")
    shared = next(iter(drafts.values()))._asdict()
    shared["recipients"] = json.dumps({channel: draft.recipient for channel, draft in drafts.items()})
    return shared | {"steps": list(steps), "trace": traces.current()}


def _draft(given: Mapping[str, Any], channel: str, recipient: Any) -> Draft:
    try:
        return Draft.of({"channel": channel, "recipient": recipient} | {name: given[name] for name in _SHARED})
    except InvalidNotification as error:
        field = f"to[{channel!r}]" if error.field == "recipient" else error.field
        raise InvalidNotification(field, error.problem) from None


def _escalated(rows: Sequence[Row], key: str | None) -> Escalated:
    for channel, identity, _, conflict, refused, _ in rows:
        if conflict:
            raise IdempotencyConflict(channel, key or "", UUID(str(identity)), UUID(str(refused)))
    ids = {channel: UUID(str(identity)) for channel, identity, *_ in rows if identity is not None}
    return Escalated(ids, tuple(row[0] for row in rows if row[1] is None), str(rows[0][5]), bool(rows[0][2]))
