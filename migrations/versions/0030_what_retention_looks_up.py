"""Retention looks up in the queue what it is about to delete, one by one, whatever the statistics say.

An anti join that is planned for any page, as from the sixth call on, makes a hash of all keys of sixteen megabytes.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0030"
down_revision = "0029"

_AMEND = Path(__file__).parent.parent / "sql" / "amend.sql"
_NOT_QUEUED = "NOT EXISTS (SELECT FROM outbox.queue q WHERE q.id = %s)"
_LOOKED_UP_IN_QUEUE = "(SELECT q.id FROM outbox.queue q WHERE q.id = %s) IS NULL"
_NOT_KNOWN = "NOT EXISTS (SELECT FROM outbox.notifications n WHERE n.id = old.notification_id)"
_LOOKED_UP = "(SELECT n.id FROM outbox.notifications n WHERE n.id = old.notification_id) IS NULL"


def _in_queue(identity: str) -> tuple[str, str]:
    return _NOT_QUEUED % identity, _LOOKED_UP_IN_QUEUE % identity


# Of each function: what it said, and what it says now.
_CHANGES = {
    "delete_expired": (_in_queue("n.id"), _in_queue("old.notification_id"), (_NOT_KNOWN, _LOOKED_UP)),
    "delete_expired_keys": (_in_queue("k.notification_id"),),
}
_BY_INDEX = ("is_needed", "delete_expired_keys")


def upgrade() -> None:
    for statement in amendments(_AMEND.read_text(encoding="utf-8"), _CHANGES):
        op.execute(statement)
    for function in _BY_INDEX:
        op.execute(f"ALTER FUNCTION outbox.{function} SET enable_seqscan = off")


def downgrade() -> None:
    for function in _BY_INDEX:
        op.execute(f"ALTER FUNCTION outbox.{function} RESET enable_seqscan")
    for statement in amendments(_AMEND.read_text(encoding="utf-8"), _CHANGES, back=True):
        op.execute(statement)
