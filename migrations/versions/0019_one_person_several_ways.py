"""What waits until another was read, or sent, and escalations made of it, from `migrations/sql/0019`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0019"
down_revision = "0018"

_SQL = Path(__file__).parent.parent / "sql"
_SENT, _SENTS = "unless_sent uuid DEFAULT NULL::uuid", "unless_sents text[] DEFAULT NULL::text[]"
# Of each function: what it said, and what it says now.
_CHANGES = {
    "put_into_queue": (
        (
            "INSERT INTO outbox.queue (id, run_at, priority, channel, ordering_key)",
            "INSERT INTO outbox.queue (id, run_at, priority, channel, ordering_key, unless_read)",
        ),
        (
            "f.run_at, f.priority, f.channel, f.ordering_key\n    FROM fresh f",
            "f.run_at, f.priority, f.channel, f.ordering_key, f.unless_read\n    FROM fresh f",
        ),
    ),
    "enqueue": (
        ("unless_read uuid DEFAULT NULL::uuid, OUT id", f"unless_read uuid DEFAULT NULL::uuid, {_SENT}, OUT id"),
        ("time_zone, unless_read)", "time_zone, unless_read, unless_sent)"),
        ("enqueue.unless_read)", "enqueue.unless_read, enqueue.unless_sent)"),
    ),
    "enqueue_many": (
        ("unless_reads text[] DEFAULT NULL::text[])", f"unless_reads text[] DEFAULT NULL::text[], {_SENTS})"),
        ("time_zone, unless_read)\n    SELECT", "time_zone, unless_read, unless_sent)\n    SELECT"),
        ("n.unless_read::uuid\n    FROM", "n.unless_read::uuid, n.unless_sent::uuid\n    FROM"),
        ("time_zones, unless_reads)\n", "time_zones, unless_reads, unless_sents)\n"),
        ("time_zone, unless_read)\n    ORDER", "time_zone, unless_read, unless_sent)\n    ORDER"),
    ),
}


def upgrade() -> None:
    op.execute(_read("0019/unless"))
    for statement in amendments(_read("amend"), _CHANGES):
        op.execute(statement)
    op.execute(_read("0019/escalate"))


def downgrade() -> None:
    for statement in amendments(_read("amend"), _CHANGES, back=True):
        op.execute(statement)
    op.execute(_read("0019/down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
