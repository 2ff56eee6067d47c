"""What is kept of a recipient with a rate is a digest, and workers let go of it, from `migrations/sql/0010`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"

_SQL = Path(__file__).parent.parent / "sql" / "0010"


def upgrade() -> None:
    op.execute((_SQL / "up.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "down.sql").read_text(encoding="utf-8"))
