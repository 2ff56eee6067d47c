-- One row a notification. While work remains the queue knows the state; afterwards the last word of its attempts does,
-- and an acceptance outweighs whatever was written after it.
CREATE OR REPLACE VIEW outbox.status AS
SELECT n.id,
       n.channel,
       n.recipient,
       n.template,
       n.topic,
       n.group_key,
       n.idempotency_key,
       n.priority,
       CASE
           WHEN q.worker IS NOT NULL AND q.run_at > clock_timestamp() THEN 'leased'
           WHEN q.run_at = 'infinity' THEN 'blocked'
           WHEN q.run_at > clock_timestamp() AND last.outcome = 'deferred' THEN 'deferred'
           WHEN q.run_at > clock_timestamp() AND q.attempt > 0 THEN 'retrying'
           WHEN q.run_at > clock_timestamp() THEN 'scheduled'
           WHEN q.id IS NOT NULL THEN 'due'
           WHEN last.outcome = 'ambiguous' THEN 'dead'
           ELSE coalesce(last.outcome, 'unaccounted')
       END AS state,
       coalesce(q.attempt, last.attempt, 0::smallint) AS attempts,
       last.outcome AS last_outcome,
       last.provider AS last_provider,
       last.error_class AS last_error_class,
       last.error_code AS last_error_code,
       last.error AS last_error,
       last.finished_at AS last_finished_at,
       CASE WHEN q.run_at = 'infinity' THEN n.run_at ELSE q.run_at END AS next_due_at,
       n.run_at,
       n.expires_at,
       n.created_at,
       n.ordering_key
FROM outbox.notifications n
LEFT JOIN outbox.queue q ON q.id = n.id
LEFT JOIN LATERAL (
    SELECT a.outcome, a.attempt, a.provider, a.error_class, a.error_code, a.error, a.finished_at
    FROM outbox.attempts a
    WHERE a.notification_id = n.id
    ORDER BY (a.outcome = 'sent') DESC, a.claim DESC
    LIMIT 1
) last ON true;
