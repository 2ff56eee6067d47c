-- outbox.enqueue() and outbox.enqueue_many() take an ordering key, as their last parameter: whoever does not know it calls
-- them as before. A function that gets a parameter must be made anew, so who might call it is remembered.
SELECT set_config('outbox.callers', coalesce(
    (SELECT jsonb_agg(jsonb_build_array(p.proname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END))
     FROM pg_proc p
     CROSS JOIN LATERAL aclexplode(p.proacl) a
     WHERE p.pronamespace = 'outbox'::regnamespace AND p.proname IN ('enqueue', 'enqueue_many'))::text, '[]'), true);
DROP FUNCTION outbox.enqueue, outbox.enqueue_many;

-- SELECT * FROM outbox.enqueue('email', 'ada@example.org', 'welcome', '{"name": "Ada"}');
-- `delay` and `expires_in` count from now, by this database's clock; `run_at` and `expires_at` are moments.
CREATE FUNCTION outbox.enqueue(
    channel text, recipient text, template text DEFAULT NULL, payload jsonb DEFAULT '{}', priority integer DEFAULT 5,
    run_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, idempotency_key text DEFAULT NULL,
    topic text DEFAULT NULL, group_key text DEFAULT NULL, locale text DEFAULT NULL, headers jsonb DEFAULT NULL,
    delay interval DEFAULT NULL, expires_in interval DEFAULT NULL, ordering_key text DEFAULT NULL,
    OUT id uuid, OUT created boolean, OUT conflict boolean, OUT refused_id uuid)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_id uuid := outbox.uuid7();
    moment timestamptz := clock_timestamp();
BEGIN
    IF enqueue.idempotency_key IS NOT NULL THEN
        PERFORM set_config('outbox.on_conflict', 'report', true);
    END IF;
    LOOP
        INSERT INTO outbox.notifications
            (id, created_at, run_at, expires_at, priority, channel, recipient, template, locale, payload, headers, topic, group_key,
             idempotency_key, ordering_key)
        VALUES
            (new_id, moment, coalesce(enqueue.run_at, moment + coalesce(delay, interval '0')),
             coalesce(enqueue.expires_at, moment + expires_in), enqueue.priority, enqueue.channel, enqueue.recipient, enqueue.template,
             enqueue.locale, coalesce(enqueue.payload, '{}'), enqueue.headers, enqueue.topic, enqueue.group_key, enqueue.idempotency_key,
             enqueue.ordering_key)
        RETURNING notifications.id INTO enqueue.id;
        created := FOUND;
        conflict := false;
        EXIT WHEN created;
        SELECT k.notification_id,
               k.digest <> outbox.digest(enqueue.recipient, enqueue.template, enqueue.locale, coalesce(enqueue.payload, '{}'),
                                         enqueue.headers, enqueue.topic, enqueue.group_key)
        INTO enqueue.id, conflict
        FROM outbox.idempotency_keys k
        WHERE k.key = enqueue.idempotency_key AND k.channel = enqueue.channel;
        EXIT WHEN FOUND;  -- else retention dropped the old key between the two statements: insert anew
    END LOOP;
    IF enqueue.idempotency_key IS NOT NULL THEN
        PERFORM set_config('outbox.on_conflict', '', true);
        refused_id := CASE WHEN conflict THEN new_id END;
    END IF;
END
$$;

-- One statement for many: parallel arrays, one result each in the order given. Keys are taken in key order, so that two
-- callers with overlapping keys wait for each other instead of deadlocking.
CREATE FUNCTION outbox.enqueue_many(
    channels text[], recipients text[], templates text[], payloads text[], priorities text[], run_ats text[], expire_ats text[],
    idempotency_keys text[], topics text[], group_keys text[], locales text[], headers text[], delays text[], expire_ins text[],
    ordering_keys text[] DEFAULT NULL)
    RETURNS TABLE (id uuid, created boolean, conflict boolean, refused_id uuid)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment  timestamptz := clock_timestamp();
    -- In order, whatever the clock's resolution: those with one ordering key stand in line by it.
    ids     uuid[] := ARRAY(SELECT outbox.uuid7() FROM generate_series(1, cardinality(channels)) ORDER BY 1);
    made    uuid[];
BEGIN
    PERFORM set_config('outbox.on_conflict', 'report', true);
    WITH inserted AS (
    INSERT INTO outbox.notifications
        (id, created_at, run_at, expires_at, priority, channel, recipient, template, locale, payload, headers, topic, group_key, idempotency_key,
         ordering_key)
    SELECT n.id, moment, coalesce(n.run_at::timestamptz, moment + coalesce(n.delay::interval, interval '0')),
           coalesce(n.expires_at::timestamptz, moment + n.expires_in::interval), n.priority::smallint, n.channel, n.recipient, n.template,
           n.locale, n.payload::jsonb, n.headers::jsonb, n.topic, n.group_key, n.idempotency_key, n.ordering_key
    FROM unnest(ids, channels, recipients, templates, payloads, priorities, run_ats, expire_ats, enqueue_many.idempotency_keys, topics,
                group_keys, locales, enqueue_many.headers, delays, expire_ins, ordering_keys)
         AS n (id, channel, recipient, template, payload, priority, run_at, expires_at, idempotency_key, topic,
               group_key, locale, headers, delay, expires_in, ordering_key)
    ORDER BY n.idempotency_key COLLATE "C", n.channel COLLATE "C", n.id
    RETURNING notifications.id
    )
    SELECT array_agg(i.id) INTO made FROM inserted i;
    PERFORM set_config('outbox.on_conflict', '', true);

    -- With a lock, in key order: or one could go between this statement and the next.
    IF EXISTS (SELECT FROM (SELECT n.channel, n.idempotency_key
                            FROM unnest(ids, channels, enqueue_many.idempotency_keys) AS n (id, channel, idempotency_key)
                            LEFT JOIN unnest(made) AS m (id) ON m.id = n.id
                            WHERE m.id IS NULL
                            ORDER BY n.idempotency_key COLLATE "C", n.channel COLLATE "C") AS refused
               WHERE (SELECT true FROM outbox.idempotency_keys k
                      WHERE k.key = refused.idempotency_key AND k.channel = refused.channel FOR KEY SHARE) IS NULL) THEN
        RAISE serialization_failure USING
            MESSAGE = 'an idempotency key was dropped by retention while it was looked up', HINT = 'Try the transaction again.';
    END IF;

    RETURN QUERY
    SELECT CASE WHEN m.id IS NULL THEN k.notification_id ELSE n.id END, m.id IS NOT NULL,
           d.differs, CASE WHEN d.differs THEN n.id END
    FROM unnest(ids, channels, recipients, templates, payloads, enqueue_many.idempotency_keys, topics, group_keys, locales, enqueue_many.headers)
         WITH ORDINALITY AS n (id, channel, recipient, template, payload, idempotency_key, topic, group_key, locale, headers, position)
    LEFT JOIN unnest(made) AS m (id) ON m.id = n.id
    LEFT JOIN outbox.idempotency_keys k ON k.key = n.idempotency_key AND k.channel = n.channel
    CROSS JOIN LATERAL (
        SELECT m.id IS NULL
               AND k.digest <> outbox.digest(n.recipient, n.template, n.locale, n.payload::jsonb, n.headers::jsonb, n.topic, n.group_key)
               IS TRUE AS differs
    ) d
    ORDER BY n.position;
END
$$;

DO $$
DECLARE
    caller jsonb;
BEGIN
    REVOKE EXECUTE ON FUNCTION outbox.enqueue, outbox.enqueue_many FROM PUBLIC;
    FOR caller IN SELECT * FROM jsonb_array_elements(current_setting('outbox.callers')::jsonb) LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.%I TO %s', caller->>0, caller->>1);
    END LOOP;
END
$$;
