"""Topics are declared whole, and hold every INSERT to it; what people want of them is written down.

From `migrations/sql/0017`. The functions that must know it are rewritten, as by 0016, where they have to.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0017"
down_revision = "0016"

_SQL = Path(__file__).parent.parent / "sql"
_UP = ("topics", "preferences", "rights")

_TOGETHER = """\
    IF current_setting('outbox.take_keys', true) = 'together' THEN
"""
_TOPIC = """\
    IF NEW.topic IS NOT NULL THEN
        IF current_setting('outbox.topic', true) IS DISTINCT FROM NEW.topic || ' ' || NEW.channel THEN
            IF NOT outbox.heed_topic(NEW.topic, NEW.channel) THEN
                PERFORM outbox.refuse_topic(NEW.topic, NEW.channel);
            END IF;
        END IF;
        IF NEW.expires_at IS NULL AND current_setting('outbox.topic_expires', true) <> '' THEN
            NEW.expires_at := greatest(NEW.run_at, NEW.created_at)
                              + make_interval(secs => current_setting('outbox.topic_expires')::double precision);
        END IF;
        IF NEW.idempotency_key IS NULL THEN
            RETURN NEW;
        END IF;
    END IF;
"""
_CLOSING = "    WITH closing AS (\n"
_CLOSED = "    GET DIAGNOSTICS closed = ROW_COUNT;\n"
_OPENING = "    INSERT INTO outbox.digests AS d\n"
_LIMITS = "    DELETE FROM outbox.limits l"
_SUPPRESSIONS = "    SELECT count(*) FROM gone"
_YESES = """\
    DELETE FROM outbox.preferences p
    WHERE %.until IS NULL AND p.wanted AND p.recipient IN (%.recipient, lower(%.recipient))
      AND outbox.is_of(p.channel, p.recipient, %.channel, %.recipient);
"""
_ALL = """\
    , forgotten AS (
        DELETE FROM outbox.preferences p
        WHERE p.recipient IN (%.recipient, lower(%.recipient))
          AND outbox.is_of(p.channel, p.recipient, %.channel, %.recipient)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM forgotten)"""
# Of each function: what it said, and what it says now.
_CHANGES = {
    "take_idempotency_key": ((_TOGETHER, _TOPIC + _TOGETHER),),
    "close_digests": (
        (_CLOSING, "    PERFORM set_config('outbox.any_topic', 'on', true);\n" + _CLOSING),
        (_CLOSED, _CLOSED + "    PERFORM set_config('outbox.any_topic', '', true);\n"),
    ),
    "enqueue_digest": (
        (
            _OPENING,
            """\
    IF enqueue_digest.topic IS NOT NULL THEN
        IF NOT outbox.heed_topic(enqueue_digest.topic, enqueue_digest.channel) THEN
            PERFORM outbox.refuse_topic(enqueue_digest.topic, enqueue_digest.channel);
        END IF;
    END IF;
"""
            + _OPENING,
        ),
    ),
    # A yes says something about a person, and goes with the rest. A no keeps them from being contacted, and stays.
    "erase_notifications": (
        (
            _LIMITS,
            _YESES.replace("%", "erase_notifications") + _LIMITS,
        ),
    ),
    "erase_suppressions": (
        (
            _SUPPRESSIONS,
            _ALL.replace("%", "erase_suppressions"),
        ),
    ),
}


def upgrade() -> None:
    for part in _UP:
        op.execute(_read(f"0017/{part}"))
    op.execute("COMMENT ON FUNCTION outbox.erase_suppressions IS"
               " 'Removes a person''s suppressions and preferences: they may be contacted again'")  # fmt: skip
    for statement in amendments(_read("amend"), _CHANGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in amendments(_read("amend"), _CHANGES, back=True):
        op.execute(statement)
    op.execute(_read("0017/down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
