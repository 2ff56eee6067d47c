"""A cheaper insert: what the CHECKs and two triggers did, one trigger does. From `migrations/sql/0006`."""

from __future__ import annotations

import re
from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.execute(_read("0006/up"))


def downgrade() -> None:
    tables = _read("0001/tables")
    checks = re.search(r"(    CONSTRAINT notifications_id_is_version_7.*?)\n\) PARTITION", tables, re.DOTALL)
    constraints = re.sub(r"^    CONSTRAINT", "    ADD CONSTRAINT", checks[1] if checks else "", flags=re.MULTILINE)
    op.execute(f"ALTER TABLE outbox.notifications\n{constraints}")
    op.execute(_function("uuid7", "0001/tables", r";\n"))
    op.execute(_function("put_into_queue", "0004/ordering"))
    op.execute(_function("take_idempotency_key", "0003/erased_keys"))
    op.execute(_read("0004/keys"))
    op.execute("REVOKE EXECUTE ON FUNCTION outbox.take_keys_together FROM PUBLIC")
    words = re.search(r"COMMENT ON FUNCTION outbox.take_keys_together IS .*", _read("0004/comments"))
    op.execute(words[0] if words else "")
    op.execute("DROP FUNCTION outbox.refuse")


def _read(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


def _function(name: str, where: str, end: str = r"\n\$\$;\n") -> str:
    """Return the statement that makes a function as an earlier migration made it."""
    found = re.search(rf"CREATE (?:OR REPLACE )?FUNCTION (outbox\.{name}\(.*?{end})", _read(where), re.DOTALL)
    return f"CREATE OR REPLACE FUNCTION {found[1]}" if found else ""
