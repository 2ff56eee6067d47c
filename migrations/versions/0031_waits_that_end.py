"""What waited without an end, or for each other: enqueues, erasures, cancellations, digests, throttles and lines.

And what gathered for as long as `retention.days` is kept for so long from when it became a notification.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0031"
down_revision = "0030"

_AMEND = Path(__file__).parent.parent / "sql" / "amend.sql"
_INSERTED = "        EXIT WHEN created;\n"
_KEPT_OUT = """        IF enqueue.idempotency_key IS NULL THEN  -- then no other stands in its place
            RAISE triggered_action_exception USING
                MESSAGE = 'a trigger keeps it out of outbox.notifications',
                HINT = 'Let the trigger raise what is wrong, or let the row pass.';
        END IF;
"""

# An erasure locks as others do: throttles before windows (gather), both before what is queued (tend, cancel,
# supersede), and an item of an inbox before that, too (heed_reading). Windows are all of the person's, whatever the
# days: what is in a worker's hands may open one of today. Those that were opened since are waited for where they go.
_THROTTLES = """    DELETE FROM outbox.throttles t
    WHERE t.recipient IN (outbox.throttle_recipient('email', erase_notifications.recipient),
                          outbox.throttle_recipient('', erase_notifications.recipient))
      AND t.recipient = outbox.throttle_recipient(t.channel, erase_notifications.recipient)
      AND t.channel = coalesce(erase_notifications.channel, t.channel);
"""
_INBOX = "    DELETE FROM outbox.inbox i\n"
_THEIRS = "WHERE outbox.is_of(g.channel, g.recipient, erase_notifications.channel, erase_notifications.recipient)\n"
_OF_THE_DAYS = "AND g.id >= lowest AND g.id < beyond\n"
_IN_ORDER = 'ORDER BY {0}.channel, {0}.recipient COLLATE "C", {0}.key COLLATE "C"'
_OPEN = f"    PERFORM FROM outbox.digests g\n    {_THEIRS}    {_IN_ORDER.format('g')} FOR UPDATE;\n"
_LOCKED = (
    _THROTTLES
    + _OPEN
    + """    PERFORM FROM outbox.inbox i
    WHERE i.recipient = erase_notifications.recipient AND coalesce(erase_notifications.channel, 'inapp') = 'inapp'
      AND i.notification_id >= lowest AND i.notification_id < beyond
    ORDER BY i.notification_id FOR UPDATE;
"""
)
_BEGIN, _BEGUN = "BEGIN\n    successors := ", "BEGIN\n" + _LOCKED + "    successors := "
_WINDOWS = f"outbox.digests g\n    {_THEIRS}"
_OPEN_OF_THE_DAYS = f"    PERFORM FROM {_WINDOWS}      {_OF_THE_DAYS}    ORDER BY g.id FOR UPDATE;\n"
_GONE = f"        DELETE FROM {_WINDOWS.replace('    ', '        ')}"  # noqa: S608 - of constants
_GONE_OF_THE_DAYS = f"{_GONE}          {_OF_THE_DAYS}"

# What joins several windows goes by their names (enqueue_many), and so does whoever closes several.
_BY_ID = "ORDER BY d.id FOR UPDATE);"
_BY_NAME = _IN_ORDER.format("d") + " FOR UPDATE);"

# gather has throttles locked by then, in an order of their own: it waits for no window, but settles that one later.
_WINDOW = "d.key = outbox.throttle_digest_key(surplus.topic)\n        FOR UPDATE;\n"
_UNLESS_LOCKED = """d.key = outbox.throttle_digest_key(surplus.topic)
        FOR UPDATE SKIP LOCKED;
        IF NOT FOUND AND EXISTS (SELECT FROM outbox.digests d
                                 WHERE d.channel = surplus.channel AND d.recipient = spelt
                                   AND d.key = outbox.throttle_digest_key(surplus.topic)) THEN
            id := surplus.id;
            settled := false;
            RETURN NEXT;
            CONTINUE;
        END IF;
"""

_CLASSES = "WHEN integrity_constraint_violation OR data_exception OR program_limit_exceeded OR raise_exception THEN"
_WHATEVER = (
    "WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN RAISE;\n        WHEN OTHERS THEN"
)

# A notification that is blocked in its line takes no place and holds none, or the one ahead of it could wait for it.
_UNDER_WAY = "q.id IS NOT NULL AS under_way"
_UNBLOCKED = "q.id IS NOT NULL AND q.run_at < 'infinity' AS under_way"
_QUEUED = "(SELECT w.id FROM outbox.queue w WHERE w.id = o.id LIMIT 1)"
_PRIORITIES = (
    ("SELECT q.priority FROM", "SELECT q.priority, q.run_at = 'infinity' AS blocked FROM"),
    ("SELECT d.priority FROM", "SELECT d.priority, false FROM"),
    ("ORDER BY w.priority, o.place", "ORDER BY w.blocked, w.priority, o.place"),
)

_OLD = "WHERE n.id < outbox.uuid7_floor(moment) AND (SELECT"
# Of each function: what it said, and what it says now.
_CHANGES = {
    "enqueue": ((_INSERTED, _INSERTED + _KEPT_OUT),),
    "erase_notifications": (
        (_THROTTLES + _INBOX, _INBOX),
        (_OPEN_OF_THE_DAYS, _OPEN),
        (_GONE_OF_THE_DAYS, _GONE),
        (_BEGIN, _BEGUN),
    ),
    "cancel": ((_BY_ID, _BY_NAME),),
    "supersede": ((_BY_ID, _BY_NAME),),
    "gather": ((_WINDOW, _UNLESS_LOCKED),),
    "close_due_digests": ((_CLASSES, _WHATEVER),),
    "refreshed_throttle": (
        (_UNDER_WAY, _UNBLOCKED),
        (_QUEUED, _QUEUED.replace("w.id FROM", "w.id, w.run_at FROM")),
        *_PRIORITIES,
    ),
    # A digest has the id of its first item, and may lie here because the day of that is gone.
    "delete_expired": ((_OLD, _OLD.replace("AND (SELECT", "AND n.created_at < moment AND (SELECT")),),
}


def upgrade() -> None:
    for statement in amendments(_AMEND.read_text(encoding="utf-8"), _CHANGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in amendments(_AMEND.read_text(encoding="utf-8"), _CHANGES, back=True):
        op.execute(statement)
