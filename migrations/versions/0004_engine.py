"""Ordering keys, and idempotency keys taken together, from the SQL files of `migrations/sql/0004`."""

from __future__ import annotations

import re
from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"

_SQL = Path(__file__).parent.parent / "sql"
_UP = ("ordering", "keys", "enqueue", "status", "rights", "comments")


def upgrade() -> None:
    for part in _UP:
        op.execute(_read(revision, part))


def downgrade() -> None:
    op.execute(_read(revision, "down"))
    for function in ("put_into_queue", "enqueue", "enqueue_many"):
        op.execute(_find(rf"CREATE FUNCTION outbox\.{function}\(.*?\n\$\$;", "enqueue"))
        op.execute(f"ALTER FUNCTION outbox.{function} SECURITY DEFINER")
        op.execute(f"REVOKE EXECUTE ON FUNCTION outbox.{function} FROM PUBLIC")
    op.execute(_read("0001", "status"))
    for comment in (r"VIEW outbox\.status", r"FUNCTION outbox\.enqueue(?:_many)?", r"COLUMN outbox\.status\.\w+"):
        op.execute(_find(rf"^COMMENT ON {comment} IS [^\n]*;$", "comments"))


def _read(number: str, part: str) -> str:
    return (_SQL / number / f"{part}.sql").read_text(encoding="utf-8")


def _find(pattern: str, part: str) -> str:
    """Return the statements of the first migration that match."""
    found = re.findall(pattern, _read("0001", part), re.DOTALL | re.MULTILINE)
    return "\n".join(found).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
