"""Dead letters keep all that a replay needs, and say what replaced them. From `migrations/sql/0026`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0026"
down_revision = "0025"

_SQL = Path(__file__).parent.parent / "sql" / "0026"


def upgrade() -> None:
    op.execute(_read("up"))


def downgrade() -> None:
    op.execute(_read("down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
