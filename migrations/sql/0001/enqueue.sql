-- What "the same content" means for an idempotency key: what is sent and to whom, not when.
CREATE FUNCTION outbox.digest(recipient text, template text, locale text, payload jsonb, headers jsonb, topic text, group_key text)
    RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN substr(sha256(convert_to(jsonb_build_array(recipient, template, locale, payload, headers, topic, group_key)::text, 'UTF8')), 1, 16);

-- Takes the idempotency key. A duplicate with the same content is skipped: the INSERT returns no row for it. One with
-- other content raises unique_violation, unless outbox.enqueue() asked to have it reported.
CREATE FUNCTION outbox.take_idempotency_key() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    content bytea := outbox.digest(NEW.recipient, NEW.template, NEW.locale, NEW.payload, NEW.headers, NEW.topic, NEW.group_key);
    taken   record;
BEGIN
    LOOP
        INSERT INTO outbox.idempotency_keys (notification_id, channel, key, digest)
        VALUES (NEW.id, NEW.channel, NEW.idempotency_key, content)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN NEW;
        END IF;
        SELECT k.notification_id, k.digest INTO taken
        FROM outbox.idempotency_keys k
        WHERE k.key = NEW.idempotency_key AND k.channel = NEW.channel;
        EXIT WHEN FOUND;  -- else retention dropped the old key between the two statements: take it anew
    END LOOP;

    IF taken.digest <> content AND current_setting('outbox.on_conflict', true) IS DISTINCT FROM 'report' THEN
        RAISE unique_violation USING
            MESSAGE = format('idempotency key %L on channel %L already stands for notification %s, which has different content',
                             NEW.idempotency_key, NEW.channel, taken.notification_id),
            HINT = 'Use another key for other content.', CONSTRAINT = 'idempotency_keys_pkey', TABLE = 'idempotency_keys', SCHEMA = 'outbox';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER notifications_take_idempotency_key BEFORE INSERT ON outbox.notifications
    FOR EACH ROW WHEN (NEW.idempotency_key IS NOT NULL) EXECUTE FUNCTION outbox.take_idempotency_key();

-- Any INSERT enqueues. NOTIFY takes a database-wide lock at commit, so it is only paid when a worker of that channel
-- said that it sleeps; under load none does.
CREATE FUNCTION outbox.put_into_queue() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO outbox.queue (id, run_at, priority, channel)
    SELECT f.id, f.run_at, f.priority, f.channel FROM fresh f ORDER BY f.id;

    PERFORM pg_notify('outbox', due.channel)
    FROM (SELECT DISTINCT f.channel FROM fresh f WHERE f.run_at <= clock_timestamp()) due
    WHERE EXISTS (SELECT FROM outbox.workers w
                  WHERE due.channel = ANY (w.idle) AND w.seen_at > clock_timestamp() - interval '1 minute');
    RETURN NULL;
END
$$;

CREATE TRIGGER notifications_put_into_queue AFTER INSERT ON outbox.notifications
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.put_into_queue();

CREATE FUNCTION outbox.refuse_update() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'outbox.notifications is written once and never updated'
        USING HINT = 'Cancel the notification and enqueue another.', ERRCODE = 'object_not_in_prerequisite_state';
END
$$;

CREATE TRIGGER notifications_are_immutable BEFORE UPDATE ON outbox.notifications
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_update();

-- A notification deleted by hand takes its remaining work along: a queue row without content could never end.
CREATE FUNCTION outbox.take_out_of_queue() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM outbox.queue q USING gone WHERE q.id = gone.id;
    RETURN NULL;
END
$$;

CREATE FUNCTION outbox.empty_queue() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM outbox.queue;
    RETURN NULL;
END
$$;

CREATE TRIGGER notifications_empty_queue AFTER TRUNCATE ON outbox.notifications
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.empty_queue();

CREATE TRIGGER notifications_take_out_of_queue AFTER DELETE ON outbox.notifications
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.take_out_of_queue();

-- SELECT * FROM outbox.enqueue('email', 'ada@example.org', 'welcome', '{"name": "Ada"}');
-- `delay` and `expires_in` count from now, by this database's clock; `run_at` and `expires_at` are moments.
CREATE FUNCTION outbox.enqueue(
    channel text, recipient text, template text DEFAULT NULL, payload jsonb DEFAULT '{}', priority integer DEFAULT 5,
    run_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, idempotency_key text DEFAULT NULL,
    topic text DEFAULT NULL, group_key text DEFAULT NULL, locale text DEFAULT NULL, headers jsonb DEFAULT NULL,
    delay interval DEFAULT NULL, expires_in interval DEFAULT NULL,
    OUT id uuid, OUT created boolean, OUT conflict boolean, OUT refused_id uuid)
    LANGUAGE plpgsql
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
             idempotency_key)
        VALUES
            (new_id, moment, coalesce(enqueue.run_at, moment + coalesce(delay, interval '0')),
             coalesce(enqueue.expires_at, moment + expires_in), enqueue.priority, enqueue.channel, enqueue.recipient, enqueue.template,
             enqueue.locale, coalesce(enqueue.payload, '{}'), enqueue.headers, enqueue.topic, enqueue.group_key, enqueue.idempotency_key)
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
    idempotency_keys text[], topics text[], group_keys text[], locales text[], headers text[], delays text[], expire_ins text[])
    RETURNS TABLE (id uuid, created boolean, conflict boolean, refused_id uuid)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment  timestamptz := clock_timestamp();
    ids     uuid[] := ARRAY(SELECT outbox.uuid7() FROM generate_series(1, cardinality(channels)));
    made    uuid[];
BEGIN
    PERFORM set_config('outbox.on_conflict', 'report', true);
    WITH inserted AS (
    INSERT INTO outbox.notifications
        (id, created_at, run_at, expires_at, priority, channel, recipient, template, locale, payload, headers, topic, group_key, idempotency_key)
    SELECT n.id, moment, coalesce(n.run_at::timestamptz, moment + coalesce(n.delay::interval, interval '0')),
           coalesce(n.expires_at::timestamptz, moment + n.expires_in::interval), n.priority::smallint, n.channel, n.recipient, n.template,
           n.locale, n.payload::jsonb, n.headers::jsonb, n.topic, n.group_key, n.idempotency_key
    FROM unnest(ids, channels, recipients, templates, payloads, priorities, run_ats, expire_ats, enqueue_many.idempotency_keys, topics,
                group_keys, locales, enqueue_many.headers, delays, expire_ins)
         AS n (id, channel, recipient, template, payload, priority, run_at, expires_at, idempotency_key, topic,
               group_key, locale, headers, delay, expires_in)
    ORDER BY n.idempotency_key COLLATE "C", n.channel COLLATE "C", n.id
    RETURNING notifications.id
    )
    SELECT array_agg(i.id) INTO made FROM inserted i;
    PERFORM set_config('outbox.on_conflict', '', true);

    IF EXISTS (SELECT FROM unnest(ids, channels, enqueue_many.idempotency_keys) AS n (id, channel, idempotency_key)
               LEFT JOIN unnest(made) AS m (id) ON m.id = n.id
               LEFT JOIN outbox.idempotency_keys k ON k.key = n.idempotency_key AND k.channel = n.channel
               WHERE m.id IS NULL AND k.key IS NULL) THEN
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
