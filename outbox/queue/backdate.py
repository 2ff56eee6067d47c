"""backdate: move what a transaction has written into the past, as if so much time had gone by since. For tests.

Notifications are written once and stay as they are; whoever reads their times has to know.
"""

from __future__ import annotations

from outbox.queue.own import OWN

_BY = "make_interval(secs => CAST(CAST(:seconds AS text) AS float8))"

BACKDATE = f"""
WITH ours AS MATERIALIZED (
    SELECT n.id FROM outbox.notifications n WHERE {OWN}
), due AS (
    UPDATE outbox.queue q SET run_at = q.run_at - {_BY}, leased_until = q.leased_until - {_BY}
    WHERE q.id IN (SELECT o.id FROM ours o) AND q.run_at < 'infinity'
), tried AS (
    UPDATE outbox.attempts a SET started_at = a.started_at - {_BY}, finished_at = a.finished_at - {_BY}
    WHERE a.notification_id IN (SELECT o.id FROM ours o)
), dead AS (
    UPDATE outbox.dead_letters d SET died_at = d.died_at - {_BY}, resolved_at = d.resolved_at - {_BY}
    WHERE d.notification_id IN (SELECT o.id FROM ours o)
), gathering AS (
    UPDATE outbox.digests n SET opened_at = n.opened_at - {_BY}, closes_at = n.closes_at - {_BY} WHERE {OWN}
), throttled AS (
    UPDATE outbox.throttles n
    SET look_at = n.look_at - {_BY}, sent_at = ARRAY(SELECT s.at - {_BY} FROM unnest(n.sent_at) AS s (at)),
        held_at = ARRAY(SELECT h.at - {_BY} FROM unnest(n.held_at) AS h (at))
    WHERE {OWN}
), limited AS (
    UPDATE outbox.limits n SET refilled_at = n.refilled_at - {_BY} WHERE {OWN}
)
SELECT count(*) FROM ours
"""  # noqa: S608 - of constants
"""Parameters: `seconds`, and `committed` as `OWN` takes it."""
