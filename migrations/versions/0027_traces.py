"""A notification may say which trace it was enqueued in, and its delivery goes on with that.

From `migrations/sql/0027`. The functions that enqueue are rewritten where they name the columns; digests, schedules and
what queries select say none.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0027"
down_revision = "0026"

_SQL = Path(__file__).parent.parent / "sql"
_TRACE = "trace text DEFAULT NULL::text"
# Of each function: what it said, and what it says now. One trace is that of all that enqueue_many() enqueues.
_CHANGES = {
    "enqueue": (
        ("unless_sent uuid DEFAULT NULL::uuid, OUT id", f"unless_sent uuid DEFAULT NULL::uuid, {_TRACE}, OUT id"),
        ("unless_read, unless_sent)", "unless_read, unless_sent, trace)"),
        ("enqueue.unless_sent)", "enqueue.unless_sent, enqueue.trace)"),
    ),
    "enqueue_many": (
        ("unless_sents text[] DEFAULT NULL::text[])", f"unless_sents text[] DEFAULT NULL::text[], {_TRACE})"),
        ("unless_read, unless_sent)\n    SELECT", "unless_read, unless_sent, trace)\n    SELECT"),
        ("n.unless_sent::uuid\n    FROM", "n.unless_sent::uuid, enqueue_many.trace\n    FROM"),
    ),
    "escalate": (
        ("steps text[] DEFAULT NULL::text[])", f"steps text[] DEFAULT NULL::text[], {_TRACE})"),
        ("time_zone, unless_read, unless_sent)", "time_zone, unless_read, unless_sent, trace)"),
        (
            "escalate.time_zone, p.unless_read, p.unless_sent\n",
            "escalate.time_zone, p.unless_read, p.unless_sent, escalate.trace\n",
        ),
    ),
}


def upgrade() -> None:
    op.execute(_read("0027/up"))
    for statement in amendments(_read("amend"), _CHANGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in amendments(_read("amend"), _CHANGES, back=True):
        op.execute(statement)
    op.execute(_read("0027/down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
