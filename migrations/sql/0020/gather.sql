-- Ends what a throttle kept back, and puts what it says into the digest that goes out when a place is free: one transaction, so
-- that nothing is lost, and nothing is in two of them. Only what this worker has in hand. The digest has its place in the
-- throttle's line from when it is opened. What is too large to go out with others stands in line itself. Returns, as a
-- settlement does, which were still the worker's to settle.
CREATE FUNCTION outbox.gather(
    worker bigint, ids uuid[], claims bigint[], numbers bigint[], periods double precision[], waits double precision[],
    templates text[], words text[], started double precision[], finished double precision[])
    RETURNS TABLE (id uuid, settled boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    surplus record;
    t       outbox.throttles;
    mine    outbox.queue;
    joined  uuid;
BEGIN
    FOR surplus IN
        SELECT g.claim, g.number, make_interval(secs => g.period) AS period, make_interval(secs => g.wait) AS wait, g.digest_template,
               g.said, g.began, g.ended, n.*, outbox.throttle_recipient(n.channel, n.recipient) AS known_as
        FROM unnest(gather.ids, claims, numbers, periods, waits, templates, words, started, finished)
            AS g (id, claim, number, period, wait, digest_template, said, began, ended)
        CROSS JOIN LATERAL (SELECT * FROM outbox.notifications WHERE id = g.id LIMIT 1) n
        ORDER BY known_as, n.topic, n.id
    LOOP
        t := outbox.lock_throttle(surplus.channel, surplus.topic, surplus.known_as, surplus.number, surplus.period);
        -- The window before the queue, as cancel() and supersede() lock them.
        PERFORM FROM outbox.digests d
        WHERE d.channel = surplus.channel AND d.recipient = surplus.recipient AND d.key = outbox.throttle_digest_key(surplus.topic)
        FOR UPDATE;
        SELECT * INTO mine FROM outbox.queue q
        WHERE q.id = surplus.id AND q.claim = surplus.claim AND q.worker = gather.worker FOR UPDATE SKIP LOCKED;
        id := surplus.id;
        settled := FOUND;
        IF NOT settled THEN
            IF EXISTS (SELECT FROM outbox.queue q
                       WHERE q.id = surplus.id AND q.claim = surplus.claim AND q.worker = gather.worker) THEN
                RETURN NEXT;
            END IF;
            CONTINUE;
        END IF;
        IF greatest(octet_length(surplus.payload::text), pg_column_size(jsonb_build_array(surplus.payload))) > 600000
           OR octet_length(surplus.recipient) + octet_length(outbox.throttle_digest_key(surplus.topic)) > 2500 THEN
            t.waiting := array_remove(t.waiting, surplus.id) || surplus.id;
            UPDATE outbox.throttles s
            SET waiting = t.waiting, look_at = least(s.look_at, outbox.next_look(t, clock_timestamp()))
            WHERE s.recipient = t.recipient AND s.topic = t.topic AND s.channel = t.channel;
            UPDATE outbox.queue q
            SET run_at = clock_timestamp() + surplus.wait, worker = NULL, leased_until = NULL, lost = 0
            WHERE q.id = surplus.id;
            INSERT INTO outbox.attempts
                (notification_id, claim, attempt, outcome, error_class, error, worker, started_at, finished_at)
            VALUES (surplus.id, surplus.claim, mine.attempt, 'deferred', 'throttled',
                    regexp_replace(surplus.said, ': [^:]*$', ': it is too large to go out with others, and waits for its turn'),
                    gather.worker, clock_timestamp() - make_interval(secs => surplus.began),
                    clock_timestamp() - make_interval(secs => surplus.ended))
            ON CONFLICT DO NOTHING;
            RETURN NEXT;
            CONTINUE;
        END IF;
        -- Where they belong to different groups, the digest belongs to none: whoever cancels one must not take the others along.
        UPDATE outbox.digests d SET group_key = NULL
        WHERE d.channel = surplus.channel AND d.recipient = surplus.recipient AND d.key = outbox.throttle_digest_key(surplus.topic)
          AND d.group_key IS NOT NULL AND d.group_key IS DISTINCT FROM surplus.group_key;
        PERFORM set_config('outbox.any_topic', 'on', true);  -- it was declared when this one was enqueued
        SELECT d.id INTO joined FROM outbox.enqueue_digest(
            channel => surplus.channel, recipient => surplus.recipient, key => outbox.throttle_digest_key(surplus.topic),
            closes_in => surplus.wait, payload => surplus.payload, template => coalesce(surplus.digest_template, surplus.template),
            priority => surplus.priority, topic => surplus.topic, group_key => surplus.group_key,
            locale => surplus.locale, headers => surplus.headers, ordering_key => surplus.ordering_key,
            time_zone => surplus.time_zone) d;
        PERFORM set_config('outbox.any_topic', '', true);
        IF joined <> ALL (t.waiting) THEN
            t.waiting := t.waiting || joined;
            UPDATE outbox.throttles s
            SET waiting = t.waiting, look_at = least(s.look_at, outbox.next_look(t, clock_timestamp()))
            WHERE s.recipient = t.recipient AND s.topic = t.topic AND s.channel = t.channel;
        END IF;
        INSERT INTO outbox.throttle_digests (digest_id, notification_id) VALUES (joined, surplus.id) ON CONFLICT DO NOTHING;
        DELETE FROM outbox.queue q WHERE q.id = surplus.id;
        IF mine.ordering_key IS NOT NULL THEN
            PERFORM outbox.unblock_next(mine.channel, mine.ordering_key, mine.position, gather.ids);
        END IF;
        INSERT INTO outbox.attempts
            (notification_id, claim, attempt, outcome, error_class, error, worker, started_at, finished_at)
        VALUES (surplus.id, surplus.claim, mine.attempt, 'suppressed', 'throttled', surplus.said || joined, gather.worker,
                clock_timestamp() - make_interval(secs => surplus.began), clock_timestamp() - make_interval(secs => surplus.ended))
        ON CONFLICT DO NOTHING;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Digest keys that begin so are the throttles': enqueue() refuses them. A key has 255 characters at most, and so has a topic.
CREATE FUNCTION outbox.throttle_digest_key(topic text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 'throttle:' || CASE WHEN length(topic) <= 200 THEN topic ELSE encode(sha256(convert_to(topic, 'UTF8')), 'hex') END;

COMMENT ON FUNCTION outbox.gather IS 'Ends what a throttle kept back, and puts it into the digest that goes out when a place is free';
COMMENT ON FUNCTION outbox.throttle_digest_key IS 'The digest key of what a topic''s throttle keeps back';
