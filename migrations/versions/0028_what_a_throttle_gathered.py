"""What a throttle gathered: it expires with its last item, is one for all spellings of an address, counts as they do.

From `migrations/sql/0028`. Functions that gather, close windows, and ask what was sent or read are rewritten in places.
Beside them, one tells who refused something before with a code that nobody knows.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0028"
down_revision = "0027"

_SQL = Path(__file__).parent.parent / "sql"
_EXPIRES_AT = "expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone"
_LEAST = "priority = least(d.priority, excluded.priority),\n"
_LATEST = """\
        expires_at = CASE WHEN d.expires_at IS NOT NULL AND excluded.expires_at IS NOT NULL
                          THEN greatest(d.expires_at, excluded.expires_at) END,
"""
_LOCK = "        -- The window before the queue, as"
_SPELT = """\
        -- However the address was spelt that opened it: in this line, there is one window of a recipient.
        spelt := coalesce((SELECT d.recipient FROM outbox.digests d
                           WHERE d.id = ANY (t.waiting) AND d.channel = surplus.channel
                             AND d.key = outbox.throttle_digest_key(surplus.topic) LIMIT 1), surplus.recipient);
"""
_READ = """\
        SELECT coalesce(i.read_at, i.archived_at) INTO found_at
        FROM outbox.inbox i WHERE i.notification_id = why_needless.unless_read;
"""
# One by one: each is a lookup in one partition, where all at once would be one in each.
_READ_IN_A_DIGEST = """\
        asked := ARRAY[unless_read];
        WHILE found_at IS NULL AND asked <> '{}' LOOP
            SELECT coalesce(i.read_at, i.archived_at) INTO found_at
            FROM outbox.inbox i WHERE i.notification_id = asked[1];
            asked := asked[2:] || ARRAY(
                SELECT d.digest_id FROM outbox.throttle_digests d WHERE d.notification_id = asked[1]);
        END LOOP;
"""
_SENT = """\
        SELECT a.finished_at, a.outcome INTO found_at, how
        FROM outbox.attempts a
        WHERE a.notification_id = why_needless.unless_sent AND a.outcome IN ('sent', 'cancelled')
        ORDER BY a.outcome = 'sent' DESC, a.claim DESC LIMIT 1;
"""
_SENT_IN_A_DIGEST = """\
        asked := ARRAY[unless_sent];
        WHILE found_at IS NULL AND asked <> '{}' LOOP
            SELECT a.finished_at, a.outcome INTO found_at, how
            FROM outbox.attempts a
            WHERE a.notification_id = asked[1] AND a.outcome IN ('sent', 'cancelled')
            ORDER BY a.outcome = 'sent' DESC, a.claim DESC LIMIT 1;
            asked := asked[2:] || ARRAY(
                SELECT d.digest_id FROM outbox.throttle_digests d WHERE d.notification_id = asked[1]);
        END LOOP;
"""
_IN_ID_ORDER = "    -- In id order, as every"
_WITH_WHAT_WAS_GATHERED = """\
    -- Who has read a digest has read what a throttle gathered into it.
    IF EXISTS (SELECT FROM outbox.throttle_digests d WHERE d.digest_id = ANY (ids)) THEN
        SELECT array_agg(w.id ORDER BY w.id), array_agg(w.moment ORDER BY w.id) INTO ids, moments
        FROM (SELECT e.id, min(e.moment) AS moment
              FROM (SELECT g.id, g.moment FROM unnest(ids, moments) AS g (id, moment)
                    UNION ALL
                    SELECT d.notification_id, g.moment FROM unnest(ids, moments) AS g (id, moment)
                    JOIN outbox.throttle_digests d ON d.digest_id = g.id) e
              GROUP BY e.id) w;
    END IF;
"""
# Of each function: what it said, and what it says now.
_CHANGES = {
    "enqueue_digest": (
        ("time_zone text DEFAULT NULL::text, OUT id", f"time_zone text DEFAULT NULL::text, {_EXPIRES_AT}, OUT id"),
        ("headers, time_zone)\n    VALUES", "headers, time_zone, expires_at)\n    VALUES"),
        ("enqueue_digest.time_zone)\n    ON", "enqueue_digest.time_zone, enqueue_digest.expires_at)\n    ON"),
        (_LEAST, _LEAST + _LATEST),
    ),
    "close_digests": (
        ("headers, time_zone, payload)", "headers, time_zone, expires_at, payload)"),
        ("c.headers, c.time_zone,\n", "c.headers, c.time_zone, c.expires_at,\n"),
    ),
    "gather": (
        ("    joined  uuid;\n", "    joined  uuid;\n    spelt   text;\n"),
        (_LOCK, _SPELT + _LOCK),
        ("d.recipient = surplus.recipient", "d.recipient = spelt"),
        ("recipient => surplus.recipient, key", "recipient => spelt, key"),
        ("time_zone => surplus.time_zone) d", "time_zone => surplus.time_zone, expires_at => surplus.expires_at) d"),
    ),
    "why_needless": (
        ("    how      text;\n", "    how      text;\n    asked    uuid[];\n"),
        (_READ, _READ_IN_A_DIGEST),
        (_SENT, _SENT_IN_A_DIGEST),
    ),
    "end_needless": ((_IN_ID_ORDER, _WITH_WHAT_WAS_GATHERED + _IN_ID_ORDER),),
}


def upgrade() -> None:
    op.execute(_read("0028/up"))
    for statement in amendments(_read("amend"), _CHANGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in amendments(_read("amend"), _CHANGES, back=True):
        op.execute(statement)
    op.execute(_read("0028/down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
