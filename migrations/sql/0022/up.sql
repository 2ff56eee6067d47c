-- What auditors ask, as views with names that stay. Every one begins at notifications or attempts, so that a condition on
-- notification_id reads the days it names, and no others.

-- Everything that is known to have happened to a notification, a row an event.
CREATE VIEW outbox.audit_timeline AS
SELECT n.id AS notification_id, n.created_at AS at, 'enqueued' AS event, n.channel, NULL::bigint AS claim, NULL::bigint AS worker,
       NULL::text AS provider, NULL::text AS provider_message_id, NULL::text AS error_class, NULL::text AS error_code, NULL::text AS error
FROM outbox.notifications n
UNION ALL
SELECT a.notification_id, a.started_at, 'begun', n.channel, a.claim, a.worker, a.provider, NULL, NULL, NULL, NULL
FROM outbox.attempts a
LEFT JOIN LATERAL (SELECT m.channel FROM outbox.notifications m WHERE m.id = a.notification_id LIMIT 1) n ON true
WHERE a.started_at IS NOT NULL
UNION ALL
SELECT a.notification_id, a.finished_at, a.outcome, n.channel, a.claim, a.worker, a.provider, a.provider_message_id, a.error_class,
       a.error_code, a.error
FROM outbox.attempts a
LEFT JOIN LATERAL (SELECT m.channel FROM outbox.notifications m WHERE m.id = a.notification_id LIMIT 1) n ON true
UNION ALL
SELECT d.notification_id, d.resolved_at, d.resolution, d.channel, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM outbox.dead_letters d
WHERE d.resolved_at IS NOT NULL
UNION ALL
SELECT i.notification_id, happened.at, happened.event, 'inapp', NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM outbox.inbox i
CROSS JOIN LATERAL (VALUES (i.seen_at, 'seen'), (i.read_at, 'read'), (i.archived_at, 'archived')) AS happened (at, event)
WHERE happened.at IS NOT NULL;

-- Who was sent what, and how it ended, a row a notification.
CREATE VIEW outbox.audit_by_recipient AS
SELECT CASE WHEN s.channel = 'email' THEN lower(s.recipient) ELSE s.recipient END AS recipient, s.id AS notification_id, s.channel,
       s.template, s.topic, s.group_key, s.idempotency_key, s.created_at, s.state, s.attempts, s.last_provider AS provider,
       sent.provider_message_id, sent.finished_at AS sent_at,
       CASE WHEN s.next_due_at IS NULL THEN s.last_finished_at END AS ended_at,
       s.last_error_class AS error_class, s.last_error_code AS error_code, s.last_error AS error
FROM outbox.status s
LEFT JOIN LATERAL (
    SELECT a.provider_message_id, a.finished_at
    FROM outbox.attempts a
    WHERE a.notification_id = s.id AND a.outcome = 'sent'
    ORDER BY a.claim DESC
    LIMIT 1
) sent ON true;

-- What failed: an attempt a row, whatever became of its notification afterwards. What has the same fingerprint failed for the
-- same reason.
CREATE VIEW outbox.audit_failures AS
SELECT a.notification_id, a.finished_at AS failed_at, n.channel, n.template, n.topic, a.attempt, a.outcome,
       a.outcome = 'dead' OR (a.outcome = 'ambiguous' AND d.notification_id IS NOT NULL) AS given_up,
       a.provider, a.error_class, a.error_code, a.error,
       concat_ws(' ', n.channel, a.provider, a.error_class, a.error_code, n.template) AS fingerprint
FROM outbox.attempts a
LEFT JOIN LATERAL (
    SELECT m.channel, m.template, m.topic FROM outbox.notifications m WHERE m.id = a.notification_id LIMIT 1
) n ON true
LEFT JOIN LATERAL (
    SELECT l.notification_id FROM outbox.dead_letters l WHERE l.notification_id = a.notification_id LIMIT 1
) d ON true
WHERE a.outcome IN ('retry', 'dead', 'ambiguous', 'lost');

-- The days there are, and the ids that lie in each.
CREATE VIEW outbox.audit_days AS
SELECT day, outbox.uuid7_floor(day::timestamp AT TIME ZONE 'UTC') AS lowest,
       outbox.uuid7_floor((day + 1)::timestamp AT TIME ZONE 'UTC') AS beyond
FROM (
    SELECT (outbox.uuid7_time(p.lowest) AT TIME ZONE 'UTC')::date AS day
    FROM outbox.partitions p
    WHERE p.parent = 'notifications' AND p.lowest IS NOT NULL
      AND outbox.uuid7_time(p.lowest) <= statement_timestamp()  -- those made ahead are empty
    UNION
    SELECT (outbox.uuid7_time(n.id) AT TIME ZONE 'UTC')::date FROM outbox.notifications_default n
) every;

-- A day's notifications (UTC, by when they were enqueued), and how they stand, a row a day and channel.
CREATE VIEW outbox.audit_daily AS
SELECT d.day, c.channel, c.notifications, c.sent, c.dead, c.expired, c.suppressed, c.cancelled, c.waiting, c.attempts, c.retries,
       c.half_within, c.nearly_all_within
FROM outbox.audit_days d
CROSS JOIN LATERAL (
    SELECT e.channel, count(*) AS notifications,
           count(*) FILTER (WHERE e.sent) AS sent,
           count(*) FILTER (WHERE NOT e.waits AND NOT e.sent AND e.outcome IN ('dead', 'ambiguous')) AS dead,
           count(*) FILTER (WHERE NOT e.waits AND NOT e.sent AND e.outcome = 'expired') AS expired,
           count(*) FILTER (WHERE NOT e.waits AND NOT e.sent AND e.outcome = 'suppressed') AS suppressed,
           count(*) FILTER (WHERE NOT e.waits AND NOT e.sent AND e.outcome = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE e.waits AND NOT e.sent) AS waiting,
           coalesce(sum(e.attempts), 0)::bigint AS attempts, coalesce(sum(e.retries), 0)::bigint AS retries,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY e.took) AS half_within,
           percentile_cont(0.99) WITHIN GROUP (ORDER BY e.took) AS nearly_all_within
    FROM (
        SELECT n.channel, q.id IS NOT NULL AS waits, coalesce(a.sent, false) AS sent, a.outcome, a.attempts, a.retries,
               a.sent_at - greatest(n.run_at, n.created_at) AS took
        FROM outbox.notifications n
        LEFT JOIN (
            SELECT t.notification_id, bool_or(t.outcome = 'sent') AS sent, min(t.finished_at) FILTER (WHERE t.outcome = 'sent') AS sent_at,
                   max(t.attempt) AS attempts, count(*) FILTER (WHERE t.outcome = 'retry') AS retries,
                   (array_agg(t.outcome ORDER BY t.claim DESC))[1] AS outcome
            FROM outbox.attempts t
            WHERE t.notification_id >= d.lowest AND t.notification_id < d.beyond
            GROUP BY t.notification_id
        ) a ON a.notification_id = n.id
        LEFT JOIN outbox.queue q ON q.id = n.id
        WHERE n.id >= d.lowest AND n.id < d.beyond
    ) e
    GROUP BY e.channel
) c;
