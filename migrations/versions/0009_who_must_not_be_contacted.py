"""Suppressions of one sender, and an inbox in the order of its arrivals, from `migrations/sql/0009`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"

_SQL = Path(__file__).parent.parent / "sql" / "0009"


def upgrade() -> None:
    op.execute((_SQL / "up.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "down.sql").read_text(encoding="utf-8"))
