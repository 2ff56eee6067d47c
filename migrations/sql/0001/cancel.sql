-- Cancels, inside the caller's transaction, what still waits, and counts what is beyond recall. A cancelled row counts
-- as one more claim, so that a worker that lost it cannot settle it any more.
CREATE FUNCTION outbox.cancel(
    id uuid DEFAULT NULL, idempotency_key text DEFAULT NULL, group_key text DEFAULT NULL, channel text DEFAULT NULL,
    OUT cancelled bigint, OUT leased bigint, OUT sent bigint, OUT dead bigint, OUT ended bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked uuid[];
    held  uuid[];
    moved uuid[];
BEGIN
    IF num_nonnulls(cancel.id, cancel.idempotency_key, cancel.group_key) <> 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'outbox.cancel takes exactly one of id, idempotency_key and group_key';
    END IF;
    asked := ARRAY(
        SELECT n.id FROM outbox.notifications n
        WHERE n.id = cancel.id AND (cancel.channel IS NULL OR n.channel = cancel.channel)
        UNION ALL
        SELECT k.notification_id FROM outbox.idempotency_keys k
        WHERE k.key = cancel.idempotency_key AND (cancel.channel IS NULL OR k.channel = cancel.channel)
        UNION ALL
        SELECT n.id FROM outbox.notifications n
        WHERE n.group_key = cancel.group_key AND (cancel.channel IS NULL OR n.channel = cancel.channel));

    -- In id order, as every bulk write here: two of them wait for each other, and never deadlock. What is leased stays
    -- unlocked: its worker must be able to settle it while the caller's transaction goes on.
    held := ARRAY(SELECT q.id FROM outbox.queue q
                  WHERE q.id = ANY (asked) AND NOT (q.worker IS NOT NULL AND q.run_at > clock_timestamp())
                  ORDER BY q.id FOR UPDATE);
    WITH taken AS (
        DELETE FROM outbox.queue q
        WHERE q.id = ANY (held)
        RETURNING q.id, q.claim, q.attempt, q.worker
    ), recorded AS (
        INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome, worker)
        SELECT t.id, t.claim + 1, t.attempt, 'cancelled', NULL FROM taken t
        UNION ALL
        SELECT t.id, t.claim, t.attempt, 'lost', t.worker FROM taken t WHERE t.worker IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    SELECT coalesce(array_agg(t.id), '{}') INTO moved FROM taken t;

    SELECT cardinality(moved),
           count(*) FILTER (WHERE s.next_due_at IS NOT NULL),
           count(*) FILTER (WHERE s.next_due_at IS NULL AND s.state = 'sent'),
           count(*) FILTER (WHERE s.next_due_at IS NULL AND s.state = 'dead'),
           count(*) FILTER (WHERE s.next_due_at IS NULL AND s.state NOT IN ('sent', 'dead'))
    INTO cancelled, leased, sent, dead, ended
    FROM outbox.status s
    WHERE s.id = ANY (asked) AND s.id <> ALL (moved);
END
$$;
