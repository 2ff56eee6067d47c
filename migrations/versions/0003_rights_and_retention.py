"""Rights, retention and erasure, from the SQL files of `migrations/sql/0003`. The roles are apart: `outbox roles`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"

_SQL = Path(__file__).parent.parent / "sql" / revision
_UP = ("retention", "erased_keys", "erase", "rights", "comments")


def upgrade() -> None:
    for part in _UP:
        op.execute((_SQL / f"{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "down.sql").read_text(encoding="utf-8"))
