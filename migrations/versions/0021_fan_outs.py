"""What a query returns is enqueued at once, or in chunks under a name, from `migrations/sql/0021`.

The query is looked at as a schedule's is, but for its parameters; and retention lets go of fan-outs.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0021"
down_revision = "0020"

_SQL = Path(__file__).parent.parent / "sql"
_PARTS = ("rows", "select", "fan_outs", "rights")
_ERASED = "    WHEN 'erased keys' THEN\n"
_FORGET = """\
    WHEN 'fan-outs' THEN
        DELETE FROM outbox.fan_outs f
        WHERE f.name = ANY (ARRAY(
            SELECT old.name FROM outbox.fan_outs old WHERE old.advanced_at < moment
            LIMIT batch FOR UPDATE SKIP LOCKED));
"""
# Of each function: what it said, and what it says now.
_CHANGES = {
    "check_schedule": (
        ("schemas text[], OUT", "schemas text[], parameters text[] DEFAULT '{}'::text[], OUT"),
        ("EXECUTE check_schedule.query;", "EXECUTE check_schedule.query USING parameters;"),
        ("check_schedule.query) INTO problem;", "check_schedule.query) INTO problem USING parameters;"),
        ("check_schedule.defaults);", "check_schedule.defaults) USING parameters;"),
    ),
    "delete_expired": ((_ERASED, _FORGET + _ERASED),),
}


def upgrade() -> None:
    for statement in amendments(_read("amend"), _CHANGES):
        op.execute(statement)
    for part in _PARTS:
        op.execute(_read(f"0021/{part}"))


def downgrade() -> None:
    op.execute(_read("0021/down"))
    for statement in amendments(_read("amend"), _CHANGES, back=True):
        op.execute(statement)


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
