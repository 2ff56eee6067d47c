"""What waited without an end, or for each other: an enqueue that a trigger keeps out, an erasure beside a cancellation.

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
_OPEN = """    PERFORM FROM outbox.digests g
    WHERE outbox.is_of(g.channel, g.recipient, erase_notifications.channel, erase_notifications.recipient)
      AND g.id >= lowest AND g.id < beyond
    ORDER BY g.id FOR UPDATE;
"""
_JOINED = "    -- Whoever is joining one is waited for here, so that what they bring is seen below.\n"
_FIRST = (
    "    -- Windows before what is queued, as cancel() and supersede() do; and whoever is joining one is waited for.\n"
)
_BEGIN = "BEGIN\n    successors := "
_GONE = "    WITH gone AS (\n"
_OLD = "WHERE n.id < outbox.uuid7_floor(moment) AND (SELECT"
# Of each function: what it said, and what it says now.
_CHANGES = {
    "enqueue": ((_INSERTED, _INSERTED + _KEPT_OUT),),
    "erase_notifications": ((_JOINED + _OPEN + _GONE, _GONE), (_BEGIN, f"BEGIN\n{_FIRST}{_OPEN}    successors := ")),
    # A digest has the id of its first item, and may lie here because the day of that is gone.
    "delete_expired": ((_OLD, _OLD.replace("AND (SELECT", "AND n.created_at < moment AND (SELECT")),),
}


def upgrade() -> None:
    for statement in amendments(_AMEND.read_text(encoding="utf-8"), _CHANGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in amendments(_AMEND.read_text(encoding="utf-8"), _CHANGES, back=True):
        op.execute(statement)
