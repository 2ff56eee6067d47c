-- A cheaper insert. PostgreSQL reads each CHECK and each WHEN from its text again in every statement, which took a third of
-- a single enqueue: so the statement trigger that fills the queue looks at the new rows too, and one trigger is left where
-- there were two. See docs/decisions/0013.

-- 18 and newer have it built in, in the same form: 48 bits of milliseconds and 12 of their fraction.
DO $$
BEGIN
    IF current_setting('server_version_num')::bigint >= 180000 THEN
        CREATE OR REPLACE FUNCTION outbox.uuid7() RETURNS uuid
            LANGUAGE sql VOLATILE PARALLEL SAFE
            RETURN uuidv7();
    END IF;
END
$$;

ALTER TABLE outbox.notifications
    DROP CONSTRAINT notifications_id_is_version_7,
    DROP CONSTRAINT notifications_priority_from_0_to_9,
    DROP CONSTRAINT notifications_channel_is_a_name,
    DROP CONSTRAINT notifications_recipient_is_printable,
    DROP CONSTRAINT notifications_template_is_short,
    DROP CONSTRAINT notifications_locale_is_short,
    DROP CONSTRAINT notifications_payload_is_an_object,
    DROP CONSTRAINT notifications_headers_are_an_object,
    DROP CONSTRAINT notifications_topic_is_short,
    DROP CONSTRAINT notifications_group_key_is_short,
    DROP CONSTRAINT notifications_idempotency_key_is_short,
    DROP CONSTRAINT notifications_times_are_real;

-- Called for a row that is not sound, to say what is wrong with it; the words never quote it. Each check stands here and
-- in put_into_queue(), where all of them are one expression.
CREATE FUNCTION outbox.refuse(
    id uuid, created_at timestamptz, run_at timestamptz, expires_at timestamptz, priority smallint, channel text, recipient text,
    template text, locale text, payload jsonb, headers jsonb, topic text, group_key text, idempotency_key text, ordering_key text)
    RETURNS uuid
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem record;
BEGIN
    SELECT p.field, p.rule, p.words INTO problem
    FROM (VALUES
        ('id', 'id_is_version_7', (get_byte(uuid_send(id), 6) >> 4) = 7, 'is not a UUID of version 7; leave it out to have one made'),
        ('priority', 'priority_from_0_to_9', priority BETWEEN 0 AND 9, 'is not from 0 (first) to 9 (last)'),
        ('channel', 'channel_is_a_name', channel ~ '^[a-z][a-z0-9_]*$' AND octet_length(channel) <= 63,
         'is not a name: lower-case letters, digits and underscores, at most 63, such as email'),
        ('recipient', 'recipient_is_printable',
         recipient <> '' AND octet_length(recipient) <= 4096 AND recipient !~ '[\x01-\x1f\x7f]',
         'is empty, longer than 4,096 bytes, or has control characters'),
        ('template', 'template_is_short', length(template) BETWEEN 1 AND 255, 'must have 1 to 255 characters'),
        ('locale', 'locale_is_short', length(locale) BETWEEN 1 AND 64, 'must have 1 to 64 characters'),
        ('payload', 'payload_is_an_object', jsonb_typeof(payload) = 'object' AND pg_column_size(payload) <= 2097152,
         'is not a JSON object of at most 2 MiB'),
        ('headers', 'headers_are_an_object', jsonb_typeof(headers) = 'object' AND pg_column_size(headers) <= 131072,
         'is not a JSON object of at most 128 KiB'),
        ('topic', 'topic_is_short', length(topic) BETWEEN 1 AND 255, 'must have 1 to 255 characters'),
        ('group_key', 'group_key_is_short', length(group_key) BETWEEN 1 AND 255, 'must have 1 to 255 characters'),
        ('idempotency_key', 'idempotency_key_is_short', length(idempotency_key) BETWEEN 1 AND 255, 'must have 1 to 255 characters'),
        ('ordering_key', 'ordering_key_is_short', length(ordering_key) BETWEEN 1 AND 255, 'must have 1 to 255 characters'),
        ('created_at', 'times_are_real', created_at BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00', 'is not in 1970 to 8999'),
        ('run_at', 'times_are_real', run_at BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00', 'is not in 1970 to 8999'),
        ('expires_at', 'times_are_real', expires_at BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00', 'is not in 1970 to 8999')
    ) AS p (field, rule, sound, words)
    WHERE NOT p.sound LIMIT 1;
    RAISE check_violation USING MESSAGE = format('%s of a notification %s', problem.field, problem.words),
        COLUMN = problem.field, CONSTRAINT = 'notifications_' || problem.rule, TABLE = 'notifications', SCHEMA = 'outbox';
END
$$;

-- Any INSERT enqueues. What is not sound raises an error, and so undoes the statement. NULLs are sound where they are
-- allowed at all. NOTIFY takes a database-wide lock at commit, so it is only paid when a worker of that channel said that
-- it sleeps; under load none does. (In two steps, because the first costs less, and is all that busy times need.)
--
-- Whoever sets outbox.take_keys = 'together' in a transaction has idempotency keys taken here, once for each statement, and
-- not row by row before the rows are inserted: COPY takes a quarter less time. What is refused is deleted again; the setting
-- outbox.refused has the ids.
CREATE OR REPLACE FUNCTION outbox.put_into_queue() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused uuid[];
    stands  record;
BEGIN
    INSERT INTO outbox.queue (id, run_at, priority, channel, ordering_key)
    SELECT CASE WHEN (
               (get_byte(uuid_send(f.id), 6) >> 4) = 7
               AND f.priority BETWEEN 0 AND 9
               AND f.channel ~ '^[a-z][a-z0-9_]*$' AND octet_length(f.channel) <= 63
               AND f.recipient <> '' AND octet_length(f.recipient) <= 4096 AND f.recipient !~ '[\x01-\x1f\x7f]'
               AND jsonb_typeof(f.payload) = 'object' AND pg_column_size(f.payload) <= 2097152
               AND f.created_at BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00'
               AND f.run_at BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00'
               AND f.expires_at BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00'
               AND length(f.template) BETWEEN 1 AND 255
               AND length(f.locale) BETWEEN 1 AND 64
               AND jsonb_typeof(f.headers) = 'object' AND pg_column_size(f.headers) <= 131072
               AND length(f.topic) BETWEEN 1 AND 255
               AND length(f.group_key) BETWEEN 1 AND 255
               AND length(f.idempotency_key) BETWEEN 1 AND 255
               AND length(f.ordering_key) BETWEEN 1 AND 255
           ) IS NOT FALSE
           THEN f.id
           ELSE outbox.refuse(f.id, f.created_at, f.run_at, f.expires_at, f.priority, f.channel, f.recipient, f.template, f.locale,
                              f.payload, f.headers, f.topic, f.group_key, f.idempotency_key, f.ordering_key) END,
           f.run_at, f.priority, f.channel, f.ordering_key
    FROM fresh f
    ORDER BY f.id;

    IF EXISTS (SELECT FROM outbox.workers w WHERE w.idle <> '{}' AND w.seen_at > clock_timestamp() - interval '1 minute') THEN
        PERFORM pg_notify('outbox', due.channel)
        FROM (SELECT DISTINCT f.channel FROM fresh f WHERE f.run_at <= clock_timestamp()) due
        WHERE EXISTS (SELECT FROM outbox.workers w
                      WHERE due.channel = ANY (w.idle) AND w.seen_at > clock_timestamp() - interval '1 minute');
    END IF;

    IF current_setting('outbox.take_keys', true) IS DISTINCT FROM 'together' THEN
        RETURN NULL;
    END IF;

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

DROP TRIGGER notifications_take_keys_together ON outbox.notifications;
DROP FUNCTION outbox.take_keys_together;

-- As it was, but that the setting is asked for in here, and not in a WHEN.
CREATE OR REPLACE FUNCTION outbox.take_idempotency_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    content bytea;
    taken   record;
BEGIN
    IF current_setting('outbox.take_keys', true) = 'together' THEN
        RETURN NEW;
    END IF;
    content := outbox.digest(NEW.recipient, NEW.template, NEW.locale, NEW.payload, NEW.headers, NEW.topic, NEW.group_key);
    LOOP
        INSERT INTO outbox.idempotency_keys (notification_id, channel, key, digest)
        VALUES (NEW.id, NEW.channel, NEW.idempotency_key, content)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            -- After the taking, which may have waited for the very erasure.
            IF pg_sequence_last_value('outbox.erased_ever'::regclass) IS NOT NULL THEN
                IF outbox.was_erased(NEW.channel, NEW.idempotency_key) THEN
                    RETURN NULL;
                END IF;
            END IF;
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

DROP TRIGGER notifications_take_idempotency_key ON outbox.notifications;
CREATE TRIGGER notifications_take_idempotency_key BEFORE INSERT ON outbox.notifications
    FOR EACH ROW WHEN (NEW.idempotency_key IS NOT NULL) EXECUTE FUNCTION outbox.take_idempotency_key();

REVOKE EXECUTE ON FUNCTION outbox.refuse FROM PUBLIC;
COMMENT ON FUNCTION outbox.refuse IS 'Raises an error that says what is wrong with a new notification';
COMMENT ON FUNCTION outbox.put_into_queue IS 'Makes every inserted notification due, if it is sound; wakes workers that sleep; takes idempotency keys that come together';
