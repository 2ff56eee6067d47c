"""Times before 1970 and an erasure beside a settlement, from `migrations/sql/0008` and the function as 0007 left it."""

from __future__ import annotations

import re
from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"

_SQL = Path(__file__).parent.parent / "sql"
_LEASED = (
    "q.worker IS NOT NULL AND q.run_at > clock_timestamp()",
    "coalesce(q.leased_until > clock_timestamp(), false)",
)
# Only letters that are open are locked first: one that was replayed may be in a worker's hands, which settles it. The
# others, and those that were written while the notifications were looked for, are read when the queue is held.
_OPEN = (
    "ORDER BY d.notification_id FOR UPDATE);",
    "AND d.resolution IS NULL\n        ORDER BY d.notification_id FOR UPDATE);",
)
_AGAIN = (
    "letters := ARRAY(SELECT unnest(letters) EXCEPT SELECT unnest(busy));",
    """letters := ARRAY(SELECT unnest(letters) EXCEPT SELECT unnest(busy));
    letters := letters || ARRAY(
        SELECT d.notification_id FROM outbox.dead_letters d
        WHERE outbox.is_of(d.channel, d.recipient, erase_notifications.channel, erase_notifications.recipient)
          AND d.notification_id >= lowest AND d.notification_id < beyond
          AND d.notification_id <> ALL (letters || busy)
        ORDER BY d.notification_id FOR UPDATE);""",
)


def upgrade() -> None:
    op.execute(_read("0008/up"))
    op.execute(_erase_notifications(_LEASED, _OPEN, _AGAIN))


def downgrade() -> None:
    op.execute(_read("0008/down"))
    op.execute(_erase_notifications(_LEASED))


def _erase_notifications(*changes: tuple[str, str]) -> str:
    found = re.search(r"CREATE FUNCTION outbox\.erase_notifications\(.*?\n\$\$;", _read("0003/erase"), re.DOTALL)
    text = (found[0] if found else "").replace("CREATE", "CREATE OR REPLACE", 1)
    for before, now in changes:
        text = text.replace(before, now, 1)
    return text


def _read(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")
