-- One notification instead of many: what is enqueued under a digest key waits in a window, others join it, and what goes
-- out when the window closes is one notification with all of them in its payload. What could not be one is refused here,
-- where somebody is told, and not when it closes.
CREATE TABLE outbox.digests (
    id           uuid        NOT NULL DEFAULT outbox.uuid7(),
    opened_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    closes_at    timestamptz NOT NULL,
    items        bigint      NOT NULL DEFAULT 1,
    bytes        bigint      NOT NULL,
    priority     smallint    NOT NULL,
    channel      text        NOT NULL,
    recipient    text        NOT NULL,
    key          text        NOT NULL,
    template     text,
    locale       text,
    topic        text,
    group_key    text,
    ordering_key text,
    headers      jsonb,
    CONSTRAINT digests_pkey PRIMARY KEY (id),
    CONSTRAINT digests_one_window_a_key UNIQUE (channel, recipient, key),
    CONSTRAINT digests_key_is_short CHECK (length(key) BETWEEN 1 AND 255)
);
CREATE INDEX digests_closing ON outbox.digests (closes_at);

CREATE TABLE outbox.digest_items (
    digest_id uuid   NOT NULL,
    position  bigint GENERATED ALWAYS AS IDENTITY,
    payload   jsonb  NOT NULL,
    CONSTRAINT digest_items_pkey PRIMARY KEY (digest_id, position)
);

-- Closes these windows, whose rows the caller has locked: each becomes a notification, under the id that it has had all
-- the time. Its payload has `items`, in the order in which they came, `count`, `first` and `last`.
CREATE FUNCTION outbox.close_digests(ids uuid[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    closed bigint;
BEGIN
    WITH closing AS (
        DELETE FROM outbox.digests d WHERE d.id = ANY (ids) RETURNING d.*
    ), gathered AS (
        DELETE FROM outbox.digest_items i WHERE i.digest_id = ANY (ids) RETURNING i.digest_id, i.position, i.payload
    ), listed AS (
        SELECT g.digest_id, jsonb_agg(g.payload ORDER BY g.position) AS items FROM gathered g GROUP BY g.digest_id
    )
    INSERT INTO outbox.notifications
        (id, priority, channel, recipient, template, locale, topic, group_key, ordering_key, headers, payload)
    SELECT c.id, c.priority, c.channel, c.recipient, c.template, c.locale, c.topic, c.group_key, c.ordering_key, c.headers,
           jsonb_build_object('items', l.items, 'count', jsonb_array_length(l.items), 'first', l.items->0, 'last', l.items->-1)
    FROM closing c
    JOIN listed l ON l.digest_id = c.id
    ORDER BY c.id;
    GET DIAGNOSTICS closed = ROW_COUNT;
    RETURN closed;
END
$$;

-- Joins the window of this key, or opens one, in the caller's transaction. That there is one at a time is the unique
-- constraint's doing: who comes second waits for the first to commit, and joins it; who comes while it closes opens another.
-- `closes_in` counts from the first; where there is a `max_wait`, from the latest, and `max_wait` from the first.
CREATE FUNCTION outbox.enqueue_digest(
    channel text, recipient text, key text, closes_in interval, payload jsonb DEFAULT '{}', template text DEFAULT NULL,
    priority integer DEFAULT 5, topic text DEFAULT NULL, group_key text DEFAULT NULL, locale text DEFAULT NULL,
    headers jsonb DEFAULT NULL, ordering_key text DEFAULT NULL, max_items bigint DEFAULT 100, max_wait interval DEFAULT NULL,
    OUT id uuid, OUT created boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment    timestamptz := clock_timestamp();
    -- As the notification will have it, which for numbers is four times as long as their text; and not as compressed.
    size      bigint := greatest(octet_length(enqueue_digest.payload::text), pg_column_size(jsonb_build_array(enqueue_digest.payload)));
    gathered  bigint;
    heavy     bigint;
    problem   record;
BEGIN
    IF closes_in <= interval '0' OR max_items < 1 OR max_wait < closes_in THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a digest closes after some time, has one item or more, and its max_wait is no shorter than its window';
    END IF;
    SELECT p.field, p.words INTO problem FROM (VALUES
        ('priority', enqueue_digest.priority BETWEEN 0 AND 9, 'is not from 0 (first) to 9 (last)'),
        ('channel', enqueue_digest.channel ~ '^[a-z][a-z0-9_]*$' AND octet_length(enqueue_digest.channel) <= 63,
         'is not a name: lower-case letters, digits and underscores, at most 63, such as email'),
        ('recipient', enqueue_digest.recipient <> '' AND enqueue_digest.recipient !~ '[\x01-\x1f\x7f]', 'is empty, or has control characters'),
        ('recipient', octet_length(enqueue_digest.recipient) + octet_length(enqueue_digest.key) <= 2500,
         'is, with the digest key, longer than 2,500 bytes'),
        ('template', length(enqueue_digest.template) BETWEEN 1 AND 255, 'must have 1 to 255 characters'),
        ('locale', length(enqueue_digest.locale) BETWEEN 1 AND 64, 'must have 1 to 64 characters'),
        ('topic', length(enqueue_digest.topic) BETWEEN 1 AND 255, 'must have 1 to 255 characters'),
        ('group_key', length(enqueue_digest.group_key) BETWEEN 1 AND 255, 'must have 1 to 255 characters'),
        ('ordering_key', length(enqueue_digest.ordering_key) BETWEEN 1 AND 255, 'must have 1 to 255 characters'),
        ('headers', jsonb_typeof(enqueue_digest.headers) = 'object' AND pg_column_size(enqueue_digest.headers) <= 131072,
         'is not a JSON object of at most 128 KiB'),
        -- It may be there three times, as an item, the first and the last, beside 200 KB; a notification has 2 MiB at most.
        ('payload', jsonb_typeof(enqueue_digest.payload) = 'object' AND size <= 600000, 'is not a JSON object of at most 600 KB')
    ) AS p (field, sound, words)
    WHERE NOT p.sound LIMIT 1;
    IF FOUND THEN
        RAISE check_violation USING MESSAGE = format('%s of what joins a digest %s', problem.field, problem.words), COLUMN = problem.field;
    END IF;
    INSERT INTO outbox.digests AS d
        (closes_at, bytes, priority, channel, recipient, key, template, locale, topic, group_key, ordering_key, headers)
    VALUES (moment + closes_in, size, enqueue_digest.priority, enqueue_digest.channel, enqueue_digest.recipient, enqueue_digest.key, enqueue_digest.template, enqueue_digest.locale,
            enqueue_digest.topic, enqueue_digest.group_key, enqueue_digest.ordering_key, enqueue_digest.headers)
    ON CONFLICT ON CONSTRAINT digests_one_window_a_key DO UPDATE
    SET items = d.items + 1, bytes = d.bytes + excluded.bytes, priority = least(d.priority, excluded.priority),
        closes_at = CASE WHEN max_wait IS NULL THEN d.closes_at
                         ELSE greatest(d.closes_at, least(excluded.closes_at, d.opened_at + max_wait)) END
    RETURNING d.id, d.items = 1, d.items, d.bytes INTO enqueue_digest.id, created, gathered, heavy;
    INSERT INTO outbox.digest_items (digest_id, payload) VALUES (enqueue_digest.id, enqueue_digest.payload);
    IF gathered >= max_items OR heavy >= 200000 THEN
        PERFORM outbox.close_digests(ARRAY[enqueue_digest.id]);
    END IF;
END
$$;

-- Closes the windows whose time has come, a batch of them, and returns how many; those that somebody is joining this
-- moment come another time. One that can be no notification, because a trigger of the application's refuses it, say, keeps
-- nobody else from closing: it is tried again in an hour.
CREATE FUNCTION outbox.close_due_digests(batch bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    closed bigint := 0;
    one    uuid;
BEGIN
    BEGIN
        RETURN outbox.close_digests(ARRAY(
            SELECT d.id FROM outbox.digests d
            WHERE d.closes_at <= clock_timestamp()
            ORDER BY d.closes_at LIMIT close_due_digests.batch
            FOR UPDATE SKIP LOCKED));
    EXCEPTION
        WHEN integrity_constraint_violation OR data_exception OR program_limit_exceeded OR raise_exception THEN
            NULL;
    END;
    FOR one IN
        SELECT d.id FROM outbox.digests d WHERE d.closes_at <= clock_timestamp() ORDER BY d.closes_at LIMIT close_due_digests.batch
    LOOP
        BEGIN
            closed := closed + outbox.close_digests(ARRAY(SELECT d.id FROM outbox.digests d WHERE d.id = one FOR UPDATE SKIP LOCKED));
        EXCEPTION
            WHEN integrity_constraint_violation OR data_exception OR program_limit_exceeded OR raise_exception THEN
                UPDATE outbox.digests d SET closes_at = clock_timestamp() + interval '1 hour' WHERE d.id = one;
        END;
    END LOOP;
    RETURN closed;
END
$$;

-- What is open is data about somebody, too.
DO $do$
DECLARE
    definition text := pg_get_functiondef('outbox.erase_notifications'::regproc);
    last_words constant text := 'DELETE FROM outbox.limits l';
BEGIN
    IF strpos(definition, last_words) = 0 THEN
        RAISE EXCEPTION 'outbox.erase_notifications() is not the one that earlier migrations made';
    END IF;
    EXECUTE replace(definition, last_words, $text$-- Whoever is joining one is waited for here, so that what they bring is seen below.
    PERFORM FROM outbox.digests g
    WHERE outbox.is_of(g.channel, g.recipient, erase_notifications.channel, erase_notifications.recipient)
      AND g.id >= lowest AND g.id < beyond
    ORDER BY g.id FOR UPDATE;
    WITH gone AS (
        DELETE FROM outbox.digests g
        WHERE outbox.is_of(g.channel, g.recipient, erase_notifications.channel, erase_notifications.recipient)
          AND g.id >= lowest AND g.id < beyond
        RETURNING g.id
    )
    DELETE FROM outbox.digest_items i USING gone WHERE i.digest_id = gone.id;
    DELETE FROM outbox.limits l$text$);
END
$do$;

REVOKE EXECUTE ON FUNCTION outbox.enqueue_digest, outbox.close_digests, outbox.close_due_digests FROM PUBLIC;
COMMENT ON TABLE outbox.digests IS 'Windows that are open: each becomes one notification when it closes';
COMMENT ON COLUMN outbox.digests.id IS 'The id that the notification will have';
COMMENT ON COLUMN outbox.digests.opened_at IS 'When the first came';
COMMENT ON COLUMN outbox.digests.closes_at IS 'When it closes, or a few seconds later';
COMMENT ON COLUMN outbox.digests.items IS 'How many have come';
COMMENT ON COLUMN outbox.digests.bytes IS 'How long their payloads are together';
COMMENT ON COLUMN outbox.digests.priority IS 'The most urgent of those that came';
COMMENT ON COLUMN outbox.digests.channel IS 'As the first was enqueued, like all that follows';
COMMENT ON COLUMN outbox.digests.recipient IS 'One address, number, token or URL';
COMMENT ON COLUMN outbox.digests.key IS 'What belongs together, for this recipient on this channel';
COMMENT ON COLUMN outbox.digests.template IS 'The template to render';
COMMENT ON COLUMN outbox.digests.locale IS 'The language to render in';
COMMENT ON COLUMN outbox.digests.topic IS 'What it is about';
COMMENT ON COLUMN outbox.digests.group_key IS 'What it belongs to';
COMMENT ON COLUMN outbox.digests.ordering_key IS 'Which line it will stand in';
COMMENT ON COLUMN outbox.digests.headers IS 'Headers of the message';
COMMENT ON TABLE outbox.digest_items IS 'The payloads that wait in a window';
COMMENT ON COLUMN outbox.digest_items.digest_id IS 'In which';
COMMENT ON COLUMN outbox.digest_items.position IS 'In which order';
COMMENT ON COLUMN outbox.digest_items.payload IS 'As enqueued';
COMMENT ON FUNCTION outbox.enqueue_digest IS 'Joins the open window of a digest key, or opens one; returns the id that its notification will have';
COMMENT ON FUNCTION outbox.close_digests IS 'Makes notifications of these windows';
COMMENT ON FUNCTION outbox.close_due_digests IS 'Makes notifications of the windows whose time has come';

-- Whoever may enqueue may do it here; whoever may write attempts is a worker, and closes windows.
DO $$
DECLARE
    other oid;
BEGIN
    FOR other IN
        SELECT DISTINCT a.grantee FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
        WHERE p.oid = 'outbox.enqueue'::regproc AND a.privilege_type = 'EXECUTE' AND a.grantee NOT IN (0, p.proowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.enqueue_digest TO %s', other::regrole);
    END LOOP;
    FOR other IN
        SELECT DISTINCT a.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'outbox.attempts'::regclass AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.close_due_digests TO %s', other::regrole);
    END LOOP;
END
$$;
