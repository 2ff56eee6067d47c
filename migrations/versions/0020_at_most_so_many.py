"""At most so many to one recipient about one topic, in any period of a length, from `migrations/sql/0020`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0020"
down_revision = "0019"

_SQL = Path(__file__).parent.parent / "sql" / "0020"


def upgrade() -> None:
    for part in ("tables", "admit", "gather", "tend", "rights"):
        op.execute((_SQL / f"{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "down.sql").read_text(encoding="utf-8"))
