"""Views for auditors, with names that stay. From `migrations/sql/0022`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0022"
down_revision = "0021"

_SQL = Path(__file__).parent.parent / "sql" / "0022"


def upgrade() -> None:
    op.execute(_read("up"))
    op.execute(_read("comments"))


def downgrade() -> None:
    op.execute(_read("down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
