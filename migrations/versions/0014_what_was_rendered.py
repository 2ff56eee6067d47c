"""Digests of what was rendered, and of which template, go with an attempt, from `migrations/sql/0014`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0014"
down_revision = "0013"

_SQL = Path(__file__).parent.parent / "sql" / "0014"


def upgrade() -> None:
    op.execute((_SQL / "up.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "down.sql").read_text(encoding="utf-8"))
