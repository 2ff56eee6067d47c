"""A notification may say in which time zone its recipient lives, and unless what was read it is to be sent.

From `migrations/sql/0016`. The functions that must know these two columns are rewritten where they name the columns.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0016"
down_revision = "0015"

_SQL = Path(__file__).parent.parent / "sql"
_ZONE, _ZONES = "time_zone text DEFAULT NULL::text", "time_zones text[] DEFAULT NULL::text[]"
_SHORT = """\
        ('time_zone', 'time_zone_is_short', length(time_zone) BETWEEN 1 AND 64, 'must have 1 to 64 characters'),
"""
_SHORT_HERE = """\
        ('time_zone', length(enqueue_digest.time_zone) BETWEEN 1 AND 64, 'must have 1 to 64 characters'),
"""
# Of each function: what it said, and what it says now.
_CHANGES = {
    "enqueue": (
        (
            "ordering_key text DEFAULT NULL::text, OUT id",
            f"ordering_key text DEFAULT NULL::text, {_ZONE}, unless_read uuid DEFAULT NULL::uuid, OUT id",
        ),
        ("idempotency_key, ordering_key)", "idempotency_key, ordering_key, time_zone, unless_read)"),
        (
            "             enqueue.ordering_key)",
            "             enqueue.ordering_key, enqueue.time_zone, enqueue.unless_read)",
        ),
    ),
    "enqueue_many": (
        (
            "ordering_keys text[] DEFAULT NULL::text[])",
            f"ordering_keys text[] DEFAULT NULL::text[], {_ZONES}, unless_reads text[] DEFAULT NULL::text[])",
        ),
        ("         ordering_key)\n    SELECT", "         ordering_key, time_zone, unless_read)\n    SELECT"),
        (
            "n.idempotency_key, n.ordering_key\n    FROM",
            "n.idempotency_key, n.ordering_key, n.time_zone, n.unless_read::uuid\n    FROM",
        ),
        ("delays, expire_ins, ordering_keys)\n", "delays, expire_ins, ordering_keys, time_zones, unless_reads)\n"),
        (
            "delay, expires_in, ordering_key)\n    ORDER",
            "delay, expires_in, ordering_key, time_zone, unless_read)\n    ORDER",
        ),
    ),
    "refuse": (
        ("ordering_key text)", "ordering_key text, time_zone text)"),
        ("        ('created_at', 'times_are_real'", f"{_SHORT}        ('created_at', 'times_are_real'"),
    ),
    "put_into_queue": (
        (
            "length(f.ordering_key) BETWEEN 1 AND 255\n",
            "length(f.ordering_key) BETWEEN 1 AND 255\n               AND length(f.time_zone) BETWEEN 1 AND 64\n",
        ),
        ("f.idempotency_key, f.ordering_key) END", "f.idempotency_key, f.ordering_key, f.time_zone) END"),
    ),
    "enqueue_digest": (
        (
            "max_wait interval DEFAULT NULL::interval, OUT id",
            f"max_wait interval DEFAULT NULL::interval, {_ZONE}, OUT id",
        ),
        (
            "        ('headers', jsonb_typeof(enqueue_digest",
            f"{_SHORT_HERE}        ('headers', jsonb_typeof(enqueue_digest",
        ),
        ("group_key, ordering_key, headers)\n", "group_key, ordering_key, headers, time_zone)\n"),
        ("enqueue_digest.headers)\n", "enqueue_digest.headers, enqueue_digest.time_zone)\n"),
    ),
    "close_digests": (
        ("ordering_key, headers, payload)\n", "ordering_key, headers, time_zone, payload)\n"),
        ("c.ordering_key, c.headers,\n", "c.ordering_key, c.headers, c.time_zone,\n"),
    ),
}


def upgrade() -> None:
    op.execute(_read("0016/up"))
    for statement in amendments(_read("amend"), _CHANGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in amendments(_read("amend"), _CHANGES, back=True):
        op.execute(statement)
    op.execute(_read("0016/down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
