"""Retention looks up in the queue what it is about to delete, one by one, whatever the statistics say.

An anti join that is planned for any page, as from the sixth call on, makes a hash of sixteen megabytes of keys each time.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0030"
down_revision = "0029"

_SQL = Path(__file__).parent.parent / "sql"


def _lookup(table: str, identity: str) -> tuple[str, str]:
    """Return what a function said of a row that a table knows no more, and what it says now."""
    alias = table[0]
    return (
        f"NOT EXISTS (SELECT FROM outbox.{table} {alias} WHERE {alias}.id = {identity})",
        f"(SELECT {alias}.id FROM outbox.{table} {alias} WHERE {alias}.id = {identity}) IS NULL",
    )


_CHANGES = {
    "delete_expired": (
        _lookup("queue", "n.id"),
        _lookup("queue", "old.notification_id"),
        _lookup("notifications", "old.notification_id"),
    ),
    "delete_expired_keys": (_lookup("queue", "k.notification_id"),),
}
_BY_INDEX = ("is_needed", "delete_expired_keys")


def upgrade() -> None:
    for statement in amendments(_read("amend"), _CHANGES):
        op.execute(statement)
    for function in _BY_INDEX:
        op.execute(f"ALTER FUNCTION outbox.{function} SET enable_seqscan = off")


def downgrade() -> None:
    for function in _BY_INDEX:
        op.execute(f"ALTER FUNCTION outbox.{function} RESET enable_seqscan")
    for statement in amendments(_read("amend"), _CHANGES, back=True):
        op.execute(statement)


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
