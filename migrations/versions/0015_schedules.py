"""Schedules, and what became of their occurrences, from `migrations/sql/0015`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0014"

_SQL = Path(__file__).parent.parent / "sql" / "0015"


def upgrade() -> None:
    op.execute((_SQL / "up.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "down.sql").read_text(encoding="utf-8"))
