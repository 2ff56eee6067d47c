"""settle: write down how attempts ended, many in one statement, and move or remove their rows.

Failures are fenced, successes are not. A `retry` or `dead` of a claim that was taken over changes nothing. A late
`sent` is evidence that the person has the message: it is recorded, and ends the notification unless a newer claim is
already sending. If the newer one has lapsed in its turn, that is recorded as lost: it may have sent a copy.
"""

from __future__ import annotations

import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

from outbox import arrays
from outbox.queue.settlement import columns_of_digests, without_and_with_digests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection

    from outbox.queue.settlement import Settlement

_PROVIDER, _PROVIDER_MESSAGE_ID = attrgetter("provider"), attrgetter("provider_message_id")

# The common end has a statement of its own: an acceptance whose row lies where its claim left it. Found by ctid, not by
# primary key, and without ON CONFLICT, which would cost 50 B of WAL a row. A row that moved (its lease was renewed, the
# table was rewritten) is not found, and is settled by the other statement. Only what was really removed is recorded.
# It skips what somebody holds, and takes no lock to find out: the claim locked the row and wrote it anew, so that both
# are in it under one transaction, until anybody else locks it, changes it or deletes it. IN under IS TRUE is a hash.
# The CASE is for what unblock_next() does: in a column of its own, it would cost each row without an ordering key 4 %.
SETTLE_SENT, SETTLE_SENT_WITH_DIGESTS = without_and_with_digests("""
WITH ended AS MATERIALIZED (
    SELECT * FROM unnest(
        %(id)s::uuid[], %(claim)s::bigint[], %(attempt)s::smallint[], %(provider)s::text[],
        %(provider_message_id)s::text[], %(started)s::bigint[], %(finished)s::bigint[]
        /*, %(content)s::bytea[], %(origin)s::bytea[]*/)
        AS e (id, claim, attempt, provider, provider_message_id, started, finished/*, content, origin*/)
), removed AS (
    DELETE FROM outbox.queue q
    WHERE q.ctid = ANY ((SELECT %(place)s::text)::tid[]) AND q.xmax = q.xmin AND q.worker = %(worker)s
      AND ((q.id, q.claim) IN (SELECT e.id, e.claim FROM ended e)) IS TRUE
    RETURNING q.id,
              CASE WHEN q.ordering_key IS NOT NULL AND outbox.unblock_next(q.channel, q.ordering_key, q.position)
                   THEN q.claim ELSE q.claim END AS claim
), recorded AS (
    INSERT INTO outbox.attempts
        (notification_id, claim, attempt, outcome, provider, provider_message_id, worker, started_at, finished_at
         /*, content_digest, template_digest*/)
    SELECT e.id, e.claim, e.attempt, 'sent', e.provider, e.provider_message_id, %(worker)s,
           now() - e.started * interval '1 microsecond', now() - e.finished * interval '1 microsecond'
           /*, e.content, e.origin*/
    FROM ended e
    JOIN removed r ON r.id = e.id AND r.claim = e.claim
)
SELECT e.id::text, e.claim FROM ended e WHERE NOT EXISTS (SELECT FROM removed r WHERE r.id = e.id AND r.claim = e.claim)
""")

# SKIP LOCKED: an application that deletes a leased notification, in a transaction that stays open, must not hold up all
# other settlements. What was skipped is reported, and settled later. Running it again after a connection broke at the
# commit changes nothing: what ended is gone from the queue, what moved has no worker any more.
# LATERAL with LIMIT, ANY, and IN beside an OR leave the planner no choice of a join: with the statistics of an emptied
# queue it takes all of it for one row, and reads it anew for each settlement, 14 s for 500 beside 50,000 that wait. For
# the same reason what is moved is looked up in arrays; width_bucket() is a binary search.
# What was not held is answered for: a failure that is on record was settled before, by a statement whose answer nobody
# heard; what this worker has claimed again, and perhaps not heard of yet, is still its own, and is settled later, under
# that claim. To call it settled by others would mean to send it once more after the send that has just ended.
SETTLE, SETTLE_WITH_DIGESTS = without_and_with_digests("""
WITH ended AS MATERIALIZED (
    SELECT * FROM unnest(
        %(id)s::uuid[], %(claim)s::bigint[], %(attempt)s::smallint[], %(outcome)s::text[], %(delay)s::float8[],
        %(reason)s::text[], %(provider)s::text[], %(provider_message_id)s::text[], %(error_class)s::text[],
        %(error_code)s::text[], %(error)s::text[], %(started)s::float8[], %(finished)s::float8[],
        %(suppressed)s::text[], %(sender)s::text[]/*, %(content)s::bytea[], %(origin)s::bytea[]*/)
        AS e (id, claim, attempt, outcome, delay, reason, provider, provider_message_id, error_class, error_code, error,
              started, finished, suppressed, sender/*, content, origin*/)
), held AS MATERIALIZED (
    SELECT e.*, q.newest, q.tried, q.holder
    FROM (SELECT * FROM ended ORDER BY id) e
    CROSS JOIN LATERAL (
        SELECT q.claim AS newest, q.attempt AS tried, q.worker AS holder FROM outbox.queue q
        WHERE q.id = e.id
          AND ((q.claim = e.claim AND q.worker = %(worker)s)
               OR (e.outcome = 'sent' AND (q.worker IS NULL OR q.leased_until <= now())))
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) q
), removed AS (
    DELETE FROM outbox.queue q
    WHERE q.id = ANY (ARRAY(SELECT h.id FROM held h WHERE h.delay IS NULL))
    RETURNING CASE WHEN q.ordering_key IS NOT NULL
                   THEN outbox.unblock_next(q.channel, q.ordering_key, q.position, %(id)s::uuid[]) END
), moving AS (
    SELECT array_agg(h.id ORDER BY h.id) AS ids, array_agg(h.delay ORDER BY h.id) AS delays,
           array_agg(h.attempt ORDER BY h.id) AS attempts
    FROM held h WHERE h.delay IS NOT NULL
), moved AS (
    UPDATE outbox.queue q
    SET run_at = now() + make_interval(secs => m.delays[width_bucket(q.id, m.ids)]),
        attempt = m.attempts[width_bucket(q.id, m.ids)], worker = NULL, leased_until = NULL, lost = 0
    FROM moving m
    WHERE q.id = ANY (m.ids)
), recorded AS (
    INSERT INTO outbox.attempts AS a
        (notification_id, claim, attempt, outcome, provider, provider_message_id, error_class, error_code, error,
         worker, started_at, finished_at/*, content_digest, template_digest*/)
    SELECT e.id, e.claim, e.attempt, e.outcome, e.provider, e.provider_message_id, e.error_class, e.error_code, e.error,
           %(worker)s, clock_timestamp() - make_interval(secs => e.started),
           clock_timestamp() - make_interval(secs => e.finished)/*, e.content, e.origin*/
    FROM ended e
    WHERE e.outcome = 'sent' OR (e.id, e.claim) IN (SELECT h.id, h.claim FROM held h)
    UNION ALL
    SELECT h.id, h.newest, h.tried, 'lost', NULL, NULL, NULL, NULL, NULL, h.holder, NULL,
           clock_timestamp()/*, NULL, NULL*/
    FROM held h
    WHERE h.newest <> h.claim AND h.holder IS NOT NULL
    ORDER BY 1, 2
    ON CONFLICT (notification_id, claim) DO UPDATE
    SET outcome = excluded.outcome, attempt = excluded.attempt, provider = excluded.provider,
        provider_message_id = excluded.provider_message_id, started_at = excluded.started_at,
        finished_at = excluded.finished_at
        /*, content_digest = excluded.content_digest, template_digest = excluded.template_digest*/
    WHERE a.outcome = 'lost' AND excluded.outcome = 'sent'
), died AS (
    INSERT INTO outbox.dead_letters AS d
        (notification_id, enqueued_at, attempts, priority, channel, recipient, template, locale, payload, headers,
         topic, group_key, idempotency_key, ordering_key, time_zone, expires_at, unless_read, unless_sent, reason,
         provider, error_class, error_code, error)
    SELECT n.id, n.created_at, h.attempt, n.priority, n.channel, n.recipient, n.template, n.locale, n.payload,
           n.headers, n.topic, n.group_key, n.idempotency_key, n.ordering_key, n.time_zone, n.expires_at, n.unless_read,
           n.unless_sent, h.reason, h.provider, h.error_class, h.error_code, h.error
    FROM held h
    CROSS JOIN LATERAL (SELECT * FROM outbox.notifications WHERE id = h.id LIMIT 1) n
    WHERE h.reason IS NOT NULL
    ON CONFLICT (notification_id) DO UPDATE
    SET died_at = excluded.died_at, attempts = excluded.attempts, reason = excluded.reason,
        provider = excluded.provider, error_class = excluded.error_class, error_code = excluded.error_code,
        error = excluded.error, expires_at = excluded.expires_at, unless_read = excluded.unless_read,
        unless_sent = excluded.unless_sent, resolution = NULL, resolved_at = NULL
), suppressed AS (
    INSERT INTO outbox.suppressions AS s (channel, recipient, sender, reason, source)
    SELECT DISTINCT ON (n.channel, n.recipient, h.sender)
           n.channel, n.recipient, h.sender, h.suppressed, concat_ws(' ', h.provider, h.error_code)
    FROM held h
    CROSS JOIN LATERAL (
        SELECT f.channel, CASE WHEN f.channel = 'email' THEN lower(f.recipient) ELSE f.recipient END AS recipient
        FROM outbox.notifications f WHERE f.id = h.id LIMIT 1
    ) n
    WHERE h.suppressed IS NOT NULL AND octet_length(n.recipient) <= 2000  -- a b-tree takes no more than 2,704 bytes
    ORDER BY n.channel, n.recipient, h.sender
    ON CONFLICT (channel, recipient, topic, sender) DO UPDATE
    SET (created_at, until, reason, source) = (
        SELECT k.created_at, k.until, k.reason, k.source FROM outbox.kept_suppression(s, excluded, now()) k)
)
SELECT a.id::text, a.settled
FROM (
    SELECT e.id, CASE
        WHEN (e.id, e.claim) IN (SELECT h.id, h.claim FROM held h) THEN true
        WHEN (SELECT true FROM outbox.queue q WHERE q.id = e.id AND q.claim = e.claim AND q.worker = %(worker)s LIMIT 1)
        THEN false
        WHEN e.outcome <> 'sent'
             AND (SELECT b.outcome <> 'lost' FROM outbox.attempts b
                  WHERE b.notification_id = e.id AND b.claim = e.claim LIMIT 1)
        THEN true
        WHEN (SELECT q.leased_until > now() FROM outbox.queue q WHERE q.id = e.id AND q.worker = %(worker)s LIMIT 1)
        THEN false
    END AS settled
    FROM ended e
) a
WHERE a.settled IS NOT NULL
""")


async def settle(
    conn: AsyncConnection[Any], settlements: Sequence[Settlement], *, worker: int
) -> tuple[set[str], set[str]]:
    """Write the settlements.

    Returns:
        The keys of those that were still ours, or had been settled so before (a late success of another claim is
        recorded too), and of those that are ours but were locked by somebody, or claimed by us again, to be settled
        again later.
    """
    sent, rest = _plainly_sent(settlements)
    async with conn.cursor(row_factory=tuple_row) as cursor:
        if sent:
            digests = columns_of_digests(sent)
            columns = _columns_of_sent(sent, time.monotonic()) | digests
            await cursor.execute(SETTLE_SENT_WITH_DIGESTS if digests else SETTLE_SENT, {"worker": worker} | columns)
            if missed := set(await cursor.fetchall()):
                rest += [one for one in sent if (one.key, one.claim) in missed]
                sent = [one for one in sent if (one.key, one.claim) not in missed]
        settled = {one.key for one in sent}
        if not rest:
            return settled, set()
        digests = columns_of_digests(rest)
        values = _columns(rest, time.monotonic()) | digests
        await cursor.execute(SETTLE_WITH_DIGESTS if digests else SETTLE, {"worker": worker} | values)
        rows = await cursor.fetchall()
    return settled | {row[0] for row in rows if row[1]}, {row[0] for row in rows if not row[1]}


def _plainly_sent(settlements: Sequence[Settlement]) -> tuple[list[Settlement], list[Settlement]]:
    """Return what has nothing to be recorded but that it was sent, and may lie where it lay; and the rest."""
    sent = [
        one
        for one in settlements
        if one.place is not None and one.outcome.name == "sent" and one.outcome.before is None
    ]
    if len(sent) == len(settlements):
        return sent, []
    among = {id(one) for one in sent}
    return sent, [one for one in settlements if id(one) not in among]


def _columns_of_sent(settlements: Sequence[Settlement], now: float) -> dict[str, str]:
    keys, claims, attempts, outcomes, started, finished, places = zip(*settlements, strict=True)
    return {
        "id": arrays.plain(keys),
        "claim": arrays.plain(claims),
        "attempt": arrays.plain([attempt + one.used for attempt, one in zip(attempts, outcomes, strict=True)]),
        "provider": arrays.texts(list(map(_PROVIDER, outcomes))),
        "provider_message_id": arrays.texts(list(map(_PROVIDER_MESSAGE_ID, outcomes))),
        "started": arrays.plain([int((now - at) * 1e6) for at in started]),
        "finished": arrays.plain([int((now - at) * 1e6) for at in finished]),
        "place": arrays.quoted(places),
    }


def _columns(settlements: Sequence[Settlement], now: float) -> dict[str, list[Any]]:
    outcomes = [settlement.outcome for settlement in settlements]
    failures = [outcome.failure for outcome in outcomes]
    suppressions = [outcome.suppression for outcome in outcomes]
    return {
        "id": [settlement.key for settlement in settlements],
        "claim": [settlement.claim for settlement in settlements],
        "attempt": [settlement.attempt + settlement.outcome.used for settlement in settlements],
        "outcome": [outcome.name for outcome in outcomes],
        "delay": [outcome.delay for outcome in outcomes],
        "reason": [outcome.reason for outcome in outcomes],
        "provider": [outcome.provider for outcome in outcomes],
        "provider_message_id": [outcome.provider_message_id for outcome in outcomes],
        "error_class": [failure and failure.error_class for failure in failures],
        "error_code": [failure and failure.code for failure in failures],
        "error": [outcome.said for outcome in outcomes],
        "started": [now - settlement.started for settlement in settlements],
        "finished": [now - settlement.finished for settlement in settlements],
        "suppressed": [suppression and suppression.reason for suppression in suppressions],
        "sender": [suppression.sender if suppression else None for suppression in suppressions],
    }
