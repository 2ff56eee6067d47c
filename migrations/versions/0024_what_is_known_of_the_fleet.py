"""What is known of the whole fleet: how much waits, how it went, and what each worker reports. From `sql/0024`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0024"
down_revision = "0023"

_SQL = Path(__file__).parent.parent / "sql" / "0024"


def upgrade() -> None:
    op.execute(_read("up"))


def downgrade() -> None:
    op.execute(_read("down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
