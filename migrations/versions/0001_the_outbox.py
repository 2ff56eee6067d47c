"""The outbox: its tables, partitions, functions, triggers and view, from the SQL files of `migrations/sql/0001`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

_SQL = Path(__file__).parent.parent / "sql" / revision
_UP = ("tables", "partitions", "enqueue", "status", "cancel", "comments")


def upgrade() -> None:
    for part in _UP:
        op.execute((_SQL / f"{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "down.sql").read_text(encoding="utf-8"))
