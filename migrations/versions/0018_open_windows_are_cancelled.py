"""cancel() and supersede() take back what waits in open windows of digests, too. From `migrations/sql/0018`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0018"
down_revision = "0017"

_SQL = Path(__file__).parent.parent / "sql"
# They are closed, and what comes of them is taken back as all else is, so that it is on record what became of it.
# Whoever is joining one is waited for first, so that what they bring is seen by what follows.
_CLOSED = """
    closing := ARRAY(SELECT d.id FROM outbox.digests d
                     WHERE (d.id = cancel.id OR d.group_key = cancel.group_key)
                       AND (cancel.channel IS NULL OR d.channel = cancel.channel)
                     ORDER BY d.id FOR UPDATE);
    IF closing <> '{}' THEN
        PERFORM outbox.close_digests(closing);
    END IF;
"""
_REPLACED = _CLOSED.replace(
    "(d.id = cancel.id OR d.group_key = cancel.group_key)", "d.group_key = newest.group_key"
).replace("(cancel.channel IS NULL OR d.channel = cancel.channel)", "d.channel = newest.channel")
# Of each function: what it said, and what it says now.
_CHANGES = {
    "cancel": (
        ("    asked uuid[];\n", "    closing uuid[];\n    asked uuid[];\n"),
        ("    asked := ARRAY(\n", f"{_CLOSED}\n    asked := ARRAY(\n"),
    ),
    "supersede": (
        ("    ended  bigint;\n", "    ended  bigint;\n    closing uuid[];\n"),
        ("    -- In id order, as every", f"{_REPLACED}\n    -- In id order, as every"),
    ),
}


def upgrade() -> None:
    op.execute(_read("0018/up"))
    for statement in amendments(_read("amend"), _CHANGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in amendments(_read("amend"), _CHANGES, back=True):
        op.execute(statement)
    op.execute(_read("0018/down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
