"""Keys that are taken for all rows of a COPY together are inserted as if all were new, and anew where one is not.

For `ON CONFLICT` PostgreSQL looks each key up first, locks it, and writes a record of that: a fifth of what a keyed row
costs the server. A key that is there ends the first statement, and undoes what it took.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

from alembic import op

from outbox.amending import amendments

revision = "0032"
down_revision = "0031"

_AMEND = Path(__file__).parent.parent / "sql" / "amend.sql"

_TAKING = """INSERT INTO outbox.idempotency_keys (notification_id, channel, key, digest)
        SELECT f.id, f.channel, f.idempotency_key,
               outbox.digest(f.recipient, f.template, f.locale, f.payload, f.headers, f.topic, f.group_key)
        FROM fresh f
        WHERE f.idempotency_key IS NOT NULL
        ORDER BY f.idempotency_key COLLATE "C", f.channel COLLATE "C", f.id"""
_TAKEN = f"""    WITH taken AS (
        {_TAKING}
        ON CONFLICT DO NOTHING
        RETURNING notification_id
    )
    SELECT array_agg(f.id) INTO refused
    FROM fresh f
    LEFT JOIN taken t ON t.notification_id = f.id
    WHERE f.idempotency_key IS NOT NULL AND t.notification_id IS NULL;
"""  # noqa: S608 - of constants
_TAKEN_IF_NEW = f"""    BEGIN
        {_TAKING};
    EXCEPTION WHEN unique_violation THEN
{indent(_TAKEN, "    ")}    END;
"""
_CHANGES = {"put_into_queue": ((_TAKEN, _TAKEN_IF_NEW),)}


def upgrade() -> None:
    for statement in amendments(_AMEND.read_text(encoding="utf-8"), _CHANGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in amendments(_AMEND.read_text(encoding="utf-8"), _CHANGES, back=True):
        op.execute(statement)
