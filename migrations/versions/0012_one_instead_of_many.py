"""One notification instead of many, from `migrations/sql/0012`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0012"
down_revision = "0011"

_SQL = Path(__file__).parent.parent / "sql" / "0012"


def upgrade() -> None:
    op.execute((_SQL / "up.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "down.sql").read_text(encoding="utf-8"))
