"""Who did what by hand, and when. From `migrations/sql/0023`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0023"
down_revision = "0022"

_SQL = Path(__file__).parent.parent / "sql" / "0023"


def upgrade() -> None:
    op.execute(_read("up"))


def downgrade() -> None:
    op.execute(_read("down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
