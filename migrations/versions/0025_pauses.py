"""Channels and providers that somebody pauses. From `migrations/sql/0025`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0025"
down_revision = "0024"

_SQL = Path(__file__).parent.parent / "sql" / "0025"


def upgrade() -> None:
    op.execute(_read("up"))


def downgrade() -> None:
    op.execute(_read("down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
