-- What remains of an erased notification: that there was one, on which day, and how it ended.
CREATE TABLE outbox.erasures (
    id            bigint      GENERATED ALWAYS AS IDENTITY,
    erased_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    notifications bigint      NOT NULL,
    day           date        NOT NULL,
    channel       text        NOT NULL,
    state         text        NOT NULL,
    CONSTRAINT erasures_pkey PRIMARY KEY (id)
);

-- Whether a row is of that person: an email address is the same in upper and lower case, whatever the standards say.
CREATE FUNCTION outbox.is_of(channel text, recipient text, asked_channel text, asked_recipient text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lower(recipient) = lower(asked_recipient) AND (channel = 'email' OR recipient = asked_recipient)
           AND (asked_channel IS NULL OR channel = asked_channel);

-- Erases one person's notifications, in the caller's transaction: those enqueued from `since` to `until`, or ever. What
-- is in a worker's hands is counted and left for another time. Locks in the order in which a replay does: dead letters,
-- queue, keys.
CREATE FUNCTION outbox.erase_notifications(
    recipient text, channel text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    OUT notifications bigint, OUT cancelled bigint, OUT leased bigint, OUT attempts bigint, OUT dead_letters bigint,
    OUT inbox bigint, OUT idempotency_keys bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    lowest  uuid := coalesce(outbox.uuid7_floor(since), '00000000-0000-0000-0000-000000000000');
    beyond  uuid := coalesce(outbox.uuid7_floor(until), 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    letters uuid[];
    theirs  uuid[];
    held    uuid[];
    busy    uuid[];
BEGIN
    letters := ARRAY(
        SELECT d.notification_id FROM outbox.dead_letters d
        WHERE outbox.is_of(d.channel, d.recipient, erase_notifications.channel, erase_notifications.recipient)
          AND d.notification_id >= lowest AND d.notification_id < beyond
        ORDER BY d.notification_id FOR UPDATE);
    theirs := ARRAY(
        SELECT n.id FROM outbox.notifications n
        WHERE outbox.is_of(n.channel, n.recipient, erase_notifications.channel, erase_notifications.recipient)
          AND n.id >= lowest AND n.id < beyond);
    held := ARRAY(
        SELECT q.id FROM outbox.queue q
        WHERE q.id = ANY (theirs) AND NOT (q.worker IS NOT NULL AND q.run_at > clock_timestamp())
        ORDER BY q.id FOR UPDATE);
    busy := ARRAY(SELECT q.id FROM outbox.queue q WHERE q.id = ANY (theirs) EXCEPT SELECT unnest(held));
    theirs := ARRAY(SELECT unnest(theirs) EXCEPT SELECT unnest(busy));
    letters := ARRAY(SELECT unnest(letters) EXCEPT SELECT unnest(busy));
    cancelled := cardinality(held);
    leased := cardinality(busy);

    INSERT INTO outbox.erasures (day, channel, state, notifications)
    SELECT (outbox.uuid7_time(s.id) AT TIME ZONE 'UTC')::date, s.channel,
           CASE WHEN s.next_due_at IS NULL THEN s.state ELSE 'cancelled' END, count(*)
    FROM outbox.status s
    WHERE s.id = ANY (theirs) AND s.id >= lowest AND s.id < beyond
    GROUP BY 1, 2, 3;

    -- As outbox.cancel() does it: one more claim, which fences off a worker that is thought lost.
    WITH taken AS (
        DELETE FROM outbox.queue q WHERE q.id = ANY (held) RETURNING q.id, q.claim, q.attempt, q.worker
    )
    INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome, worker)
    SELECT t.id, t.claim + 1, t.attempt, 'cancelled', NULL FROM taken t
    UNION ALL
    SELECT t.id, t.claim, t.attempt, 'lost', t.worker FROM taken t WHERE t.worker IS NOT NULL
    ON CONFLICT DO NOTHING;

    -- They stay, as what statistics are made of, without the words: a provider's answer repeats the address.
    UPDATE outbox.attempts a
    SET provider_message_id = NULL, error = NULL
    WHERE a.notification_id = ANY (theirs || letters) AND a.notification_id >= lowest AND a.notification_id < beyond
      AND (a.provider_message_id IS NOT NULL OR a.error IS NOT NULL);
    GET DIAGNOSTICS attempts = ROW_COUNT;

    idempotency_keys := outbox.bury_keys(ARRAY(
        SELECT k.ctid
        FROM (SELECT n.id, n.channel, n.idempotency_key FROM outbox.notifications n
              WHERE n.id = ANY (theirs) AND n.id >= lowest AND n.id < beyond
              UNION
              SELECT d.notification_id, d.channel, d.idempotency_key FROM outbox.dead_letters d
              WHERE d.notification_id = ANY (letters)) named
        JOIN outbox.idempotency_keys k ON k.key = named.idempotency_key AND k.channel = named.channel
        WHERE k.notification_id = named.id
        ORDER BY k.key COLLATE "C", k.channel COLLATE "C" FOR UPDATE OF k));
    DELETE FROM outbox.notifications n WHERE n.id = ANY (theirs) AND n.id >= lowest AND n.id < beyond;
    GET DIAGNOSTICS notifications = ROW_COUNT;
    DELETE FROM outbox.dead_letters d WHERE d.notification_id = ANY (letters);
    GET DIAGNOSTICS dead_letters = ROW_COUNT;
    DELETE FROM outbox.inbox i
    WHERE i.recipient = erase_notifications.recipient AND coalesce(erase_notifications.channel, 'inapp') = 'inapp'
      AND i.notification_id >= lowest AND i.notification_id < beyond;
    GET DIAGNOSTICS inbox = ROW_COUNT;
    DELETE FROM outbox.limits l
    WHERE l.scope = 'recipient' AND outbox.is_of('email', l.name, NULL, erase_notifications.recipient);
END
$$;

-- A key that has outlived its notification names the person by the address, if at all. They are looked through page by
-- page; `next_page` is where to go on. A short recipient (the user 42) is in too many keys to say anything.
CREATE FUNCTION outbox.erase_keys(
    recipient text, channel text DEFAULT NULL, page bigint DEFAULT 0, pages bigint DEFAULT 2048,
    OUT idempotency_keys bigint, OUT next_page bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    every  bigint := pg_relation_size('outbox.idempotency_keys') / current_setting('block_size')::bigint;
    beyond bigint := least(page + pages, every);
BEGIN
    idempotency_keys := 0;
    IF length(recipient) >= 6 THEN
        idempotency_keys := outbox.bury_keys(ARRAY(
            SELECT k.ctid
            FROM outbox.idempotency_keys k
            WHERE k.ctid >= format('(%s,0)', page)::tid AND k.ctid < format('(%s,0)', beyond)::tid
              AND position(lower(erase_keys.recipient) IN lower(k.key)) > 0
              AND (erase_keys.channel IS NULL OR k.channel = erase_keys.channel)
              AND NOT EXISTS (SELECT FROM outbox.notifications n WHERE n.id = k.notification_id)
            ORDER BY k.key COLLATE "C", k.channel COLLATE "C" FOR UPDATE OF k));
        next_page := CASE WHEN beyond < every THEN beyond END;
    END IF;
END
$$;

CREATE FUNCTION outbox.erase_suppressions(recipient text, channel text DEFAULT NULL) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM outbox.suppressions s
        WHERE outbox.is_of(s.channel, s.recipient, erase_suppressions.channel, erase_suppressions.recipient)
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

-- SELECT * FROM outbox.erase('ada@example.org');
CREATE FUNCTION outbox.erase(
    recipient text, channel text DEFAULT NULL, with_suppressions boolean DEFAULT false,
    OUT notifications bigint, OUT cancelled bigint, OUT leased bigint, OUT attempts bigint, OUT dead_letters bigint,
    OUT inbox bigint, OUT idempotency_keys bigint, OUT suppressions bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    every_page constant bigint := 4294967296;  -- as many as a table can have
    outlived   bigint;
BEGIN
    IF coalesce(erase.recipient, '') = '' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'outbox.erase takes a recipient';
    END IF;
    SELECT e.notifications, e.cancelled, e.leased, e.attempts, e.dead_letters, e.inbox, e.idempotency_keys
    INTO notifications, cancelled, leased, attempts, dead_letters, inbox, idempotency_keys
    FROM outbox.erase_notifications(erase.recipient, erase.channel) e;
    SELECT e.idempotency_keys INTO outlived FROM outbox.erase_keys(erase.recipient, erase.channel, 0, every_page) e;
    idempotency_keys := idempotency_keys + outlived;
    suppressions := CASE WHEN with_suppressions THEN outbox.erase_suppressions(erase.recipient, erase.channel) ELSE 0 END;
END
$$;
