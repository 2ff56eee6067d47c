"""cancel() takes back what waits in open windows of digests, too. From `migrations/sql/0018`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"

_SQL = Path(__file__).parent.parent / "sql"
_DROPPED = """
    WITH closed AS (
        DELETE FROM outbox.digests d
        WHERE (d.id = cancel.id OR d.group_key = cancel.group_key)
          AND (cancel.channel IS NULL OR d.channel = cancel.channel)
        RETURNING d.id
    ), gone AS (
        DELETE FROM outbox.digest_items i USING closed c WHERE i.digest_id = c.id
    )
    SELECT count(*) INTO dropped FROM closed;
"""
# What outbox.cancel() said, and what it says now.
_CHANGES = (
    ("    asked uuid[];\n", "    dropped bigint;\n    asked uuid[];\n"),
    ("    asked := ARRAY(\n", f"{_DROPPED}\n    asked := ARRAY(\n"),
    ("    SELECT cardinality(moved),\n", "    SELECT cardinality(moved) + dropped,\n"),
)


def upgrade() -> None:
    op.execute(_read("0018/up"))
    _amend(_CHANGES)


def downgrade() -> None:
    _amend(tuple((after, before) for before, after in reversed(_CHANGES)))
    op.execute(_read("0018/down"))


def _amend(pairs: tuple[tuple[str, str], ...]) -> None:
    said = ", ".join(f"[$pair${before}$pair$, $pair${after}$pair$]" for before, after in pairs)
    op.execute(_read("amend"))
    op.execute(f"SELECT pg_temp.amend('cancel', ARRAY[{said}])")
    op.execute("DROP FUNCTION pg_temp.amend")


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
