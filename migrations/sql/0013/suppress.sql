-- Raises what is wrong with a suppression; the words never quote the recipient.
CREATE FUNCTION outbox.refuse_suppression(
    channel text, recipient text, reason text, topic text, sender text, source text, until timestamptz) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem record;
BEGIN
    SELECT p.field, p.words INTO problem
    FROM (VALUES
        ('channel', channel ~ '^[a-z][a-z0-9_]*$' AND octet_length(channel) <= 63,
         'is not a name: lower-case letters, digits and underscores, at most 63, such as email'),
        ('recipient', recipient <> '' AND octet_length(recipient) <= 2000 AND recipient !~ '[\x01-\x1f\x7f]',
         'is empty, longer than 2,000 bytes, or has control characters'),
        ('reason', reason ~ '^[a-z][a-z0-9_]{0,62}$',
         'is not a word such as unsubscribed: lower-case letters, digits and underscores, at most 63'),
        ('topic', length(topic) <= 255, 'has more than 255 characters'),
        ('sender', length(sender) <= 255, 'has more than 255 characters'),
        ('source', length(source) BETWEEN 1 AND 100, 'must have 1 to 100 characters'),
        ('until', until IS NULL OR until > clock_timestamp(), 'lies in the past: leave it out for good, or give a moment to come')
    ) AS p (field, sound, words)
    WHERE p.sound IS NOT TRUE LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s of a suppression %s', problem.field, problem.words);
    END IF;
END
$$;
COMMENT ON FUNCTION outbox.refuse_suppression IS 'Raises an error that says what is wrong with a suppression, if anything is';

-- Ends, as suppressed, those of the notifications (in order) that wait; what it ends counts as one more claim, which fences off
-- a worker that is thought lost. Whatever somebody has locked is left to its claim, which looks for suppressions itself:
-- nobody waits here, and nothing deadlocks.
CREATE FUNCTION outbox.end_suppressed(ids uuid[], words text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    held  uuid[];
    ended bigint;
BEGIN
    held := ARRAY(SELECT q.id FROM outbox.queue q
                  WHERE q.id = ANY (ids) AND coalesce(q.leased_until <= clock_timestamp(), true)
                  ORDER BY q.id FOR UPDATE SKIP LOCKED);
    WITH taken AS (
        DELETE FROM outbox.queue q WHERE q.id = ANY (held) RETURNING q.id, q.claim, q.attempt, q.worker
    ), recorded AS (
        INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome, worker, error_class, error)
        SELECT t.id, t.claim + 1, t.attempt, 'suppressed', NULL, 'suppressed', words[width_bucket(t.id, ids)] FROM taken t
        UNION ALL
        SELECT t.id, t.claim, t.attempt, 'lost', t.worker, NULL, NULL FROM taken t WHERE t.worker IS NOT NULL
        ORDER BY 1, 2
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) INTO ended FROM taken;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION outbox.end_suppressed IS 'Ends notifications that wait as suppressed, each with the words that say why; returns how many';

CREATE FUNCTION outbox.waiting_one_by_one(channel text, recipient text, since uuid, until uuid) RETURNS TABLE (
    id uuid, topic text, due_at timestamptz)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
    SELECT q.id, n.topic, CASE WHEN q.run_at = 'infinity' THEN n.run_at ELSE q.run_at END
    FROM outbox.queue q
    CROSS JOIN LATERAL (SELECT * FROM outbox.notifications WHERE id = q.id LIMIT 1) n
    WHERE q.channel = waiting_one_by_one.channel
      AND q.id >= since AND q.id < coalesce(until, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND outbox.is_of(n.channel, n.recipient, waiting_one_by_one.channel, waiting_one_by_one.recipient)
$$;
COMMENT ON FUNCTION outbox.waiting_one_by_one IS 'As waiting_for, from one id to another, by looking up each that waits';

-- There is no index of recipients, because every enqueue would pay for it. So whatever waits on the channel is looked up, at 5
-- to 9 µs each. Of a day of which more than a tenth waits (a campaign), all notifications are read instead, at 0.4 µs
-- each, or by an index on lower(recipient) where somebody has made one.
CREATE FUNCTION outbox.waiting_for(channel text, recipient text) RETURNS TABLE (
    id uuid, topic text, due_at timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    few   constant bigint := 10000;
    since uuid := '00000000-0000-0000-0000-000000000000';
    crowd record;
BEGIN
    FOR crowd IN
        SELECT p.name, p.lowest, p.beyond
        FROM outbox.partitions p
        WHERE (SELECT count(*) FROM (SELECT FROM outbox.queue q WHERE q.channel = waiting_for.channel LIMIT few) counted) = few
          AND p.parent = 'notifications' AND p.lowest IS NOT NULL
          AND (SELECT count(*)
               FROM (SELECT FROM outbox.queue q WHERE q.id >= p.lowest AND q.id < p.beyond
                     LIMIT greatest(few, p.estimated_rows / 10)) counted) = greatest(few, p.estimated_rows / 10)
        ORDER BY p.lowest
    LOOP
        RETURN QUERY SELECT * FROM outbox.waiting_one_by_one(channel, recipient, since, crowd.lowest);
        RETURN QUERY EXECUTE format($of_a_day$
            SELECT n.id, n.topic, CASE WHEN q.run_at = 'infinity' THEN n.run_at ELSE q.run_at END
            FROM outbox.%I n
            CROSS JOIN LATERAL (SELECT * FROM outbox.queue w WHERE w.id = n.id LIMIT 1) q
            WHERE outbox.is_of(n.channel, n.recipient, $1, $2)
            $of_a_day$, crowd.name) USING channel, recipient;
        since := crowd.beyond;
    END LOOP;
    RETURN QUERY SELECT * FROM outbox.waiting_one_by_one(channel, recipient, since, NULL);
END
$$;
COMMENT ON FUNCTION outbox.waiting_for IS 'What waits for one recipient on a channel, or is in a worker''s hands: about what, and when it is due';

-- SELECT * FROM outbox.suppress('email', 'ada@example.org', 'unsubscribed');
-- It ends only what would come due while the suppression holds; a claim looks at suppressions, whatever is left here.
CREATE FUNCTION outbox.suppress(
    channel text, recipient text, reason text, topic text DEFAULT NULL, until timestamptz DEFAULT NULL,
    source text DEFAULT 'manual', sender text DEFAULT NULL,
    OUT created boolean, OUT stands text, OUT ended bigint, OUT in_hand bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    lapsed boolean;
    kept   record;
    theirs uuid[];
BEGIN
    PERFORM outbox.refuse_suppression(channel, recipient, reason, coalesce(topic, ''), coalesce(sender, ''), source, until);
    lapsed := EXISTS (
        SELECT FROM outbox.suppressions s
        WHERE s.channel = suppress.channel AND s.topic = coalesce(suppress.topic, '') AND s.sender = coalesce(suppress.sender, '')
          AND s.recipient = CASE WHEN suppress.channel = 'email' THEN lower(suppress.recipient) ELSE suppress.recipient END
          AND s.until <= moment);
    INSERT INTO outbox.suppressions AS s (created_at, until, channel, recipient, topic, sender, reason, source)
    VALUES (moment, suppress.until, suppress.channel,
            CASE WHEN suppress.channel = 'email' THEN lower(suppress.recipient) ELSE suppress.recipient END,
            coalesce(suppress.topic, ''), coalesce(suppress.sender, ''), suppress.reason, suppress.source)
    ON CONFLICT ON CONSTRAINT suppressions_pkey DO UPDATE
    SET (created_at, until, reason, source) = (
        SELECT k.created_at, k.until, k.reason, k.source
        FROM outbox.kept_suppression(s, excluded, moment) k)
    RETURNING s.*, s.xmax = 0 AS inserted INTO kept;
    -- Not by the moment alone: two that come at once may come in the same microsecond.
    created := kept.inserted OR (lapsed AND kept.created_at = moment);
    stands := kept.reason;

    -- One of our senders may be refused where another is not: which it will be, the claim knows.
    theirs := ARRAY(
        SELECT w.id FROM outbox.waiting_for(kept.channel, kept.recipient) w
        WHERE kept.sender = '' AND kept.topic IN ('', coalesce(w.topic, ''))
          AND (kept.until IS NULL OR w.due_at < kept.until)
          AND (kept.reason <> 'unsubscribed'
               OR NOT EXISTS (SELECT FROM outbox.topics t WHERE t.name = w.topic AND t.transactional))
        ORDER BY w.id);
    ended := outbox.end_suppressed(theirs, array_fill(
        concat_ws(', ', kept.reason, 'topic ' || nullif(kept.topic, ''), 'since ' || kept.created_at::date),
        ARRAY[cardinality(theirs)]));
    in_hand := cardinality(theirs) - ended;
END
$$;
COMMENT ON FUNCTION outbox.suppress IS 'Adds a suppression in the current transaction, and ends what waits for its recipient';

-- After many suppressions were added at once: ends what waits and is kept back by any, a page of the queue at a time, as its
-- claim would. `last` is where to go on, NULL at the end.
CREATE FUNCTION outbox.sweep_suppressed(
    after uuid, page bigint, OUT looked bigint, OUT ended bigint, OUT in_hand bigint, OUT last uuid)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    theirs uuid[];
    words  text[];
BEGIN
    WITH seen AS MATERIALIZED (
        SELECT q.id, q.channel, q.run_at FROM outbox.queue q WHERE q.id > after ORDER BY q.id LIMIT page
    )
    SELECT count(*), (array_agg(e.id ORDER BY e.id DESC))[1],
           coalesce(array_agg(e.id ORDER BY e.id) FILTER (WHERE s.words IS NOT NULL), '{}'),
           coalesce(array_agg(s.words ORDER BY e.id) FILTER (WHERE s.words IS NOT NULL), '{}')
    INTO looked, last, theirs, words
    FROM seen e
    CROSS JOIN LATERAL (SELECT * FROM outbox.notifications WHERE id = e.id LIMIT 1) n
    LEFT JOIN LATERAL (
        SELECT concat_ws(', ', s.reason, 'topic ' || nullif(s.topic, ''), 'since ' || s.created_at::date) AS words
        FROM outbox.suppressions s
        WHERE s.channel = e.channel AND s.sender = '' AND s.topic IN ('', coalesce(n.topic, ''))
          AND s.recipient = CASE WHEN e.channel = 'email' THEN lower(n.recipient) ELSE n.recipient END
          AND (s.until IS NULL
               OR s.until > greatest(clock_timestamp(), CASE WHEN e.run_at = 'infinity' THEN n.run_at ELSE e.run_at END))
          AND (s.reason <> 'unsubscribed'
               OR NOT EXISTS (SELECT FROM outbox.topics t WHERE t.name = n.topic AND t.transactional))
        ORDER BY s.topic LIMIT 1
    ) s ON true;
    last := CASE WHEN looked = page THEN last END;
    ended := outbox.end_suppressed(theirs, words);
    in_hand := cardinality(theirs) - ended;
END
$$;
COMMENT ON FUNCTION outbox.sweep_suppressed IS 'Ends what waits and a suppression keeps back, a page of the queue at a time';
