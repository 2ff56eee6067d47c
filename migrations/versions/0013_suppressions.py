"""Suppressions are added and lifted by functions, and topics may be transactional, from `migrations/sql/0013`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0013"
down_revision = "0012"

_SQL = Path(__file__).parent.parent / "sql" / "0013"
_UP = ("words", "suppress", "unsuppress", "rights")


def upgrade() -> None:
    for part in _UP:
        op.execute(_read(part))


def downgrade() -> None:
    op.execute(_read("down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
