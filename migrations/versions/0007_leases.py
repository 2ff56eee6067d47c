"""Leases in a column of their own, from `migrations/sql/0007`, and what asks whether something is leased."""

from __future__ import annotations

import re
from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"

_SQL = Path(__file__).parent.parent / "sql"
# The functions and the view stay as earlier migrations made them, but for these words.
_WORDS = {
    "q.worker IS NOT NULL AND q.run_at > clock_timestamp()": "coalesce(q.leased_until > clock_timestamp(), false)",
    "ELSE q.run_at END AS next_due_at": "ELSE greatest(q.run_at, q.leased_until) END AS next_due_at",
}


def upgrade() -> None:
    op.execute(_read("0007/up"))
    for statement in _statements():
        for before, now in _WORDS.items():
            statement = statement.replace(before, now)  # noqa: PLW2901 - word by word
        op.execute(statement)


def downgrade() -> None:
    for statement in _statements():
        op.execute(statement)
    op.execute(_read("0007/down"))


def _statements() -> list[str]:
    cancel, erase = _read("0001/cancel"), _read("0003/erase")
    erase_notifications = re.search(r"CREATE FUNCTION outbox\.erase_notifications\(.*?\n\$\$;", erase, re.DOTALL)
    return [
        cancel.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"),
        "ALTER FUNCTION outbox.cancel SECURITY DEFINER",
        (erase_notifications[0] if erase_notifications else "").replace("CREATE", "CREATE OR REPLACE"),
        _read("0004/status"),
    ]


def _read(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")
