"""What operators do goes on from where it was: pauses add up, and what is edited stands for what it was.

From `migrations/sql/0029`. The functions that are given an id look for what was enqueued in its place.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0029"
down_revision = "0028"

_SQL = Path(__file__).parent.parent / "sql"
_THEIR_LETTERS = """\
outbox.is_of(d.channel, d.recipient, erase_notifications.channel, erase_notifications.recipient)
          AND d.notification_id >= lowest AND d.notification_id < beyond"""
# What was enqueued in the place of theirs is about them, to whomever it goes. As long as that is in a worker's hands,
# the letters that lead to it stay, so that it is found the next time.
_SUCCESSORS = """
    successors := ARRAY(
        SELECT DISTINCT line.id
        FROM outbox.dead_letters d CROSS JOIN LATERAL unnest(outbox.line_of(d.notification_id)) AS line (id)
        WHERE d.replaced_by IS NOT NULL AND %);
    furthest := CASE WHEN successors = '{}' THEN beyond ELSE 'ffffffff-ffff-ffff-ffff-ffffffffffff' END;
""".replace("%", _THEIR_LETTERS)
_DECLARED = """\
    busy    uuid[];
    successors uuid[];
    forerunners uuid[];
    furthest uuid;
"""
_BY_ID = "n.id = ANY (theirs) AND n.id >= lowest AND n.id"
_THEIR_INBOX = """\
i.recipient = erase_notifications.recipient AND coalesce(erase_notifications.channel, 'inapp') = 'inapp'
      AND i.notification_id >= lowest AND i.notification_id < beyond"""
_LETTERS_LEFT = "    letters := ARRAY(SELECT unnest(letters) EXCEPT SELECT unnest(busy));\n"
_FORERUNNERS = """\
    forerunners := ARRAY(SELECT d.notification_id FROM outbox.dead_letters d
                     WHERE d.notification_id = ANY (successors) AND outbox.line_of(d.notification_id) && busy);
    successors := ARRAY(SELECT unnest(successors) EXCEPT SELECT unnest(busy));
"""
_THEIRS = "n.id >= lowest AND n.id < beyond);\n    held"
_AND_SUCCESSORS = """n.id >= lowest AND n.id < beyond
        UNION
        SELECT n.id FROM outbox.notifications n WHERE n.id = ANY (successors));
    held"""
_READ_IN_A_DIGEST = """\
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
_READ_IN_ITS_PLACE = """\
    -- Who has read what was enqueued in its place, or the digest that a throttle gathered it into, has read it.
    IF EXISTS (SELECT FROM outbox.throttle_digests d WHERE d.digest_id = ANY (ids))
       OR EXISTS (SELECT FROM outbox.dead_letters d WHERE d.replaced_by IS NOT NULL) THEN
        WITH RECURSIVE line AS (
            SELECT given.id, given.moment FROM unnest(ids, moments) AS given (id, moment)
            UNION
            SELECT earlier.id, l.moment FROM line l
            CROSS JOIN LATERAL (
                SELECT d.notification_id FROM outbox.throttle_digests d WHERE d.digest_id = l.id
                UNION ALL
                SELECT d.notification_id FROM outbox.dead_letters d WHERE d.replaced_by = l.id
            ) AS earlier (id)
        ), each AS (
            SELECT l.id, min(l.moment) AS moment FROM line l GROUP BY l.id
        )
        SELECT array_agg(e.id ORDER BY e.id), array_agg(e.moment ORDER BY e.id) INTO ids, moments FROM each e;
    END IF;
"""
# What went out in its place; that it was read is looked up first, and that it was sent.
_DIGEST = """\
                SELECT d.digest_id FROM outbox.throttle_digests d WHERE d.notification_id = asked[1]);
        END LOOP;
        IF found_at IS NOT NULL THEN
            RETURN outbox.needless_words(%s"""
_DIGEST_OR_EDITED = """\
                SELECT d.digest_id FROM outbox.throttle_digests d WHERE d.notification_id = asked[1]
                UNION ALL
                SELECT d.replaced_by FROM outbox.dead_letters d
                WHERE d.notification_id = asked[1] AND d.replaced_by IS NOT NULL);
        END LOOP;
        IF found_at IS NOT NULL THEN
            RETURN outbox.needless_words(%s"""
_WHAT_IT_FOLLOWS = """\
        FROM (VALUES (follows_in.unless_read), (follows_in.unless_sent)) AS asked (id)
        CROSS JOIN LATERAL (SELECT * FROM outbox.queue WHERE id = outbox.latest_of(asked.id) LIMIT 1) q
"""
_WHEN_IT_WAS_TO_COME = """\
        LEFT JOIN LATERAL (SELECT m.run_at FROM outbox.notifications m WHERE m.id = asked.id LIMIT 1) first ON true
        WHERE"""
# Of each function: what it said, and what it says now.
_CHANGES = {
    "cancel": (
        ("    closing uuid[];\n", "    closing uuid[];\n    latest uuid := outbox.latest_of(cancel.id);\n"),
        ("        WHERE n.id = cancel.id AND", "        WHERE n.id = latest AND"),
    ),
    "why_needless": tuple((_DIGEST % name, _DIGEST_OR_EDITED % name) for name in ("unless_read", "unless_sent")),
    "follows_in": (
        ("follows_in.run_at - n.run_at, '0')", "follows_in.run_at - coalesce(first.run_at, n.run_at), '0')"),
        ("        FROM outbox.queue q\n", _WHAT_IT_FOLLOWS),
        ("        WHERE q.id IN (follows_in.unless_read, follows_in.unless_sent) AND", _WHEN_IT_WAS_TO_COME),
    ),
    "end_needless": ((_READ_IN_A_DIGEST, _READ_IN_ITS_PLACE),),
    "erase_notifications": (
        (
            f"WHERE {_THEIR_LETTERS}\n",
            f"WHERE ({_THEIR_LETTERS}\n               OR d.notification_id = ANY (successors))\n",
        ),
        ("    busy    uuid[];\nBEGIN\n", f"{_DECLARED}BEGIN{_SUCCESSORS}"),
        (_THEIRS, _AND_SUCCESSORS),
        (_LETTERS_LEFT, f"{_FORERUNNERS}{_LETTERS_LEFT}"),
        ("<> ALL (letters || busy)", "<> ALL (letters || busy || forerunners)"),
        ("s.id < beyond", "s.id < furthest"),
        ("a.notification_id < beyond", "a.notification_id < furthest"),
        (f"{_BY_ID} < beyond", f"{_BY_ID} < furthest"),
        (_THEIR_INBOX, f"({_THEIR_INBOX}\n           OR i.notification_id = ANY (successors))"),
    ),
}


def upgrade() -> None:
    op.execute(_read("0029/up"))
    op.execute(_read("0029/lines"))
    for statement in amendments(_read("amend"), _CHANGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in amendments(_read("amend"), _CHANGES, back=True):
        op.execute(statement)
    op.execute("DROP FUNCTION outbox.latest_of, outbox.line_of")
    op.execute(_read("0029/down"))


def _read(part: str) -> str:
    return (_SQL / f"{part}.sql").read_text(encoding="utf-8")
