-- Whoever sets outbox.take_keys = 'together' in a transaction has idempotency keys taken once for each statement, after its
-- rows are inserted, and not row by row before that: COPY takes a quarter less time. What is refused is deleted again; the
-- setting outbox.refused has the ids.
DROP TRIGGER notifications_take_idempotency_key ON outbox.notifications;
CREATE TRIGGER notifications_take_idempotency_key BEFORE INSERT ON outbox.notifications
    FOR EACH ROW WHEN (NEW.idempotency_key IS NOT NULL AND current_setting('outbox.take_keys', true) IS DISTINCT FROM 'together')
    EXECUTE FUNCTION outbox.take_idempotency_key();

CREATE FUNCTION outbox.take_keys_together() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused uuid[];
    stands  record;
BEGIN
    -- In key order, so that two of these wait for each other and never deadlock. Of two rows with one key, the first has it.
    WITH taken AS (
        INSERT INTO outbox.idempotency_keys (notification_id, channel, key, digest)
        SELECT f.id, f.channel, f.idempotency_key,
               outbox.digest(f.recipient, f.template, f.locale, f.payload, f.headers, f.topic, f.group_key)
        FROM fresh f
        WHERE f.idempotency_key IS NOT NULL
        ORDER BY f.idempotency_key COLLATE "C", f.channel COLLATE "C", f.id
        ON CONFLICT DO NOTHING
        RETURNING notification_id
    )
    SELECT array_agg(f.id) INTO refused
    FROM fresh f
    LEFT JOIN taken t ON t.notification_id = f.id
    WHERE f.idempotency_key IS NOT NULL AND t.notification_id IS NULL;

    IF pg_sequence_last_value('outbox.erased_ever'::regclass) IS NOT NULL THEN  -- as was_erased() does for one
        WITH erased AS (
            UPDATE outbox.idempotency_keys k
            SET notification_id = e.notification_id, created_at = e.created_at
            FROM fresh f
            JOIN outbox.erased_keys e ON e.digest = outbox.key_digest(f.channel, f.idempotency_key)
            WHERE k.key = f.idempotency_key AND k.channel = f.channel AND k.notification_id = f.id
            RETURNING f.id
        )
        SELECT refused || array_agg(e.id) INTO refused FROM erased e;
    END IF;
    IF refused IS NULL THEN
        RETURN NULL;
    END IF;

    SELECT f.channel, f.idempotency_key, k.notification_id INTO stands
    FROM unnest(refused) AS r (id)
    JOIN fresh f ON f.id = r.id
    LEFT JOIN outbox.idempotency_keys k ON k.key = f.idempotency_key AND k.channel = f.channel
    WHERE k.key IS NULL
       OR (k.digest <> outbox.digest(f.recipient, f.template, f.locale, f.payload, f.headers, f.topic, f.group_key)
           AND current_setting('outbox.on_conflict', true) IS DISTINCT FROM 'report')
    ORDER BY f.id LIMIT 1;
    IF FOUND AND stands.notification_id IS NULL THEN
        RAISE serialization_failure USING
            MESSAGE = 'an idempotency key was dropped by retention while it was looked up', HINT = 'Try the transaction again.';
    ELSIF FOUND THEN
        RAISE unique_violation USING
            MESSAGE = format('idempotency key %L on channel %L already stands for notification %s, which has different content',
                             stands.idempotency_key, stands.channel, stands.notification_id),
            HINT = 'Use another key for other content.', CONSTRAINT = 'idempotency_keys_pkey', TABLE = 'idempotency_keys', SCHEMA = 'outbox';
    END IF;

    -- They stood in line already, and whoever came behind them in this statement waits for nobody.
    PERFORM outbox.unblock_next(q.channel, q.ordering_key, q.position, refused)
    FROM outbox.queue q
    WHERE q.id = ANY (refused) AND q.ordering_key IS NOT NULL
      AND NOT outbox.is_blocked(q.channel, q.ordering_key, q.position);

    PERFORM set_config('outbox.refused', array_to_string(refused, ','), true);  -- for who may not read the keys
    -- Within bounds, or the partition of every day is looked through. Their work goes along: see take_out_of_queue().
    DELETE FROM outbox.notifications n
    WHERE n.id = ANY (refused)
      AND n.id >= (SELECT r.id FROM unnest(refused) AS r (id) ORDER BY r.id LIMIT 1)
      AND n.id <= (SELECT r.id FROM unnest(refused) AS r (id) ORDER BY r.id DESC LIMIT 1);
    RETURN NULL;
END
$$;

-- Triggers go by their names, so this comes after notifications_put_into_queue, which stays as quick as it was.
CREATE TRIGGER notifications_take_keys_together AFTER INSERT ON outbox.notifications
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT WHEN (current_setting('outbox.take_keys', true) = 'together') EXECUTE FUNCTION outbox.take_keys_together();
