-- What somebody said that they want, or do not want, by topic and channel. A claim looks at it, and at what the topic is by
-- default.
CREATE TABLE outbox.preferences (
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    wanted     boolean     NOT NULL,
    channel    text        NOT NULL,
    recipient  text        NOT NULL,
    topic      text        NOT NULL,
    source     text        NOT NULL DEFAULT 'person',
    CONSTRAINT preferences_pkey PRIMARY KEY (channel, recipient, topic)
);
COMMENT ON TABLE outbox.preferences IS 'What somebody said that they want, or do not want; looked up by the claim itself';
COMMENT ON COLUMN outbox.preferences.updated_at IS 'When they said so';
COMMENT ON COLUMN outbox.preferences.wanted IS 'Whether they want it';
COMMENT ON COLUMN outbox.preferences.channel IS 'The channel';
COMMENT ON COLUMN outbox.preferences.recipient IS 'The address; lower case on the channel email';
COMMENT ON COLUMN outbox.preferences.topic IS 'The topic, as notifications have it';
COMMENT ON COLUMN outbox.preferences.source IS 'Who said so, such as person, or the form that they filled in';

-- Raises what is wrong with a preference; the words never quote the recipient.
CREATE FUNCTION outbox.refuse_preference(channel text, recipient text, topic text, source text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its     outbox.topics;
    problem text;
BEGIN
    SELECT * INTO its FROM outbox.topics t WHERE t.name = topic;
    SELECT p.words INTO problem
    FROM (VALUES
        (channel ~ '^[a-z][a-z0-9_]*$' AND octet_length(channel) <= 63,
         'channel of a preference is not a name: lower-case letters, digits and underscores, at most 63, such as email'),
        (recipient <> '' AND octet_length(recipient) <= 2000 AND recipient !~ '[\x01-\x1f\x7f]',
         'recipient of a preference is empty, longer than 2,000 bytes, or has control characters'),
        (length(topic) BETWEEN 1 AND 255, 'topic of a preference must have 1 to 255 characters'),
        (length(source) BETWEEN 1 AND 100, 'source of a preference must have 1 to 100 characters'),
        (its.name IS NOT NULL OR NOT EXISTS (SELECT FROM outbox.topics), format('topic %L is not declared', topic)),
        (its.transactional IS NOT TRUE, format('topic %L is transactional: everybody gets it, and nobody chooses', topic)),
        (its.channels IS NULL OR channel = ANY (its.channels), format('topic %L is not sent by %s', topic, channel))
    ) AS p (sound, words)
    WHERE p.sound IS NOT TRUE LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING MESSAGE = problem;
    END IF;
END
$$;
COMMENT ON FUNCTION outbox.refuse_preference IS 'Raises an error that says what is wrong with a preference, if anything is';

-- Ends what waits for somebody about these topics, and counts for each what was ended, and what is left to its claim.
CREATE FUNCTION outbox.end_unwanted(channel text, recipient text, topics text[], words text) RETURNS TABLE (
    topic text, ended bigint, in_hand bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting record;
BEGIN
    FOR waiting IN
        SELECT w.topic, array_agg(w.id ORDER BY w.id) AS ids FROM outbox.waiting_for(channel, recipient) w
        WHERE w.topic = ANY (topics) GROUP BY w.topic ORDER BY w.topic
    LOOP
        topic := waiting.topic;
        ended := outbox.end_suppressed(
            waiting.ids, array_fill(format(words, waiting.topic), ARRAY[cardinality(waiting.ids)]));
        in_hand := cardinality(waiting.ids) - ended;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION outbox.end_unwanted IS 'Ends what waits for one recipient on a channel about these topics; returns how many of each';

-- In the order of the primary keys: two of these wait for each other, and never deadlock. A yes takes back an unsubscription
-- from the very topic; whatever else keeps the recipient from being contacted stands, and is told.
CREATE FUNCTION outbox.set_preferences(
    channels text[], recipients text[], topics text[], wanteds boolean[], sources text[])
    RETURNS TABLE (changed boolean, ended bigint, in_hand bigint, lifted text, kept text[])
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one       record;
    gone      record;
    before    boolean;
    word      text;
    changes   boolean[] := array_fill(false, ARRAY[cardinality(topics)]);
    lifts     text[] := array_fill(NULL::text, ARRAY[cardinality(topics)]);
    ends      bigint[] := array_fill(0::bigint, ARRAY[cardinality(topics)]);
    in_hands  bigint[] := array_fill(0::bigint, ARRAY[cardinality(topics)]);
BEGIN
    PERFORM outbox.refuse_preference(g.channel, g.recipient, g.topic, g.source)
    FROM unnest(channels, recipients, topics, sources) AS g (channel, recipient, topic, source);
    IF EXISTS (SELECT FROM unnest(channels, recipients, topics) AS g (channel, recipient, topic)
               GROUP BY g.channel, CASE WHEN g.channel = 'email' THEN lower(g.recipient) ELSE g.recipient END, g.topic
               HAVING count(*) > 1) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'one recipient, channel and topic are named twice';
    END IF;
    FOR one IN
        SELECT g.*, CASE WHEN g.channel = 'email' THEN lower(g.recipient) ELSE g.recipient END AS looked_up
        FROM unnest(channels, recipients, topics, wanteds, sources)
             WITH ORDINALITY AS g (channel, recipient, topic, wanted, source, place)
        ORDER BY g.channel, looked_up, g.topic
    LOOP
        before := (SELECT p.wanted FROM outbox.preferences p
                   WHERE p.channel = one.channel AND p.recipient = one.looked_up AND p.topic = one.topic);
        INSERT INTO outbox.preferences AS p (updated_at, wanted, channel, recipient, topic, source)
        VALUES (clock_timestamp(), one.wanted, one.channel, one.looked_up, one.topic, one.source)
        ON CONFLICT ON CONSTRAINT preferences_pkey DO UPDATE
        SET updated_at = excluded.updated_at, wanted = excluded.wanted, source = excluded.source;
        changes[one.place] := before IS DISTINCT FROM one.wanted;
        IF one.wanted THEN
            DELETE FROM outbox.suppressions s
            WHERE s.channel = one.channel AND s.recipient = one.looked_up AND s.topic = one.topic AND s.sender = ''
              AND s.reason = 'unsubscribed'
            RETURNING s.reason INTO word;
            lifts[one.place] := word;
        END IF;
    END LOOP;

    FOR one IN
        SELECT g.channel, CASE WHEN g.channel = 'email' THEN lower(g.recipient) ELSE g.recipient END AS looked_up,
               array_agg(g.topic) AS abouts, array_agg(g.place) AS places
        FROM unnest(channels, recipients, topics, wanteds)
             WITH ORDINALITY AS g (channel, recipient, topic, wanted, place)
        WHERE NOT g.wanted GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        FOR gone IN
            SELECT e.*, one.places[array_position(one.abouts, e.topic)] AS place
            FROM outbox.end_unwanted(one.channel, one.looked_up, one.abouts,
                                     'opted out, topic %s, since ' || clock_timestamp()::date) e
        LOOP
            ends[gone.place] := gone.ended;
            in_hands[gone.place] := gone.in_hand;
        END LOOP;
    END LOOP;

    RETURN QUERY
    SELECT g.changed, g.ended, g.in_hand, g.lifted, ARRAY(
        SELECT DISTINCT s.reason FROM outbox.suppressions s
        WHERE s.channel = g.channel AND s.topic IN ('', g.topic)
          AND s.recipient = CASE WHEN g.channel = 'email' THEN lower(g.recipient) ELSE g.recipient END
          AND (s.until IS NULL OR s.until > clock_timestamp())
        ORDER BY s.reason)
    FROM unnest(channels, recipients, topics, changes, ends, in_hands, lifts)
         WITH ORDINALITY AS g (channel, recipient, topic, changed, ended, in_hand, lifted, place)
    ORDER BY g.place;
END
$$;
COMMENT ON FUNCTION outbox.set_preferences IS 'Writes down what people want, in the current transaction, and ends what waits of what they do not; a row for each';

-- SELECT * FROM outbox.set_preference('email', 'ada@example.org', 'news', false);
CREATE FUNCTION outbox.set_preference(
    channel text, recipient text, topic text, wanted boolean, source text DEFAULT 'person',
    OUT changed boolean, OUT ended bigint, OUT in_hand bigint, OUT lifted text, OUT kept text[])
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.changed, s.ended, s.in_hand, s.lifted, s.kept
    FROM outbox.set_preferences(ARRAY[set_preference.channel], ARRAY[set_preference.recipient], ARRAY[set_preference.topic],
                                ARRAY[set_preference.wanted], ARRAY[set_preference.source]) s
$$;
COMMENT ON FUNCTION outbox.set_preference IS 'Writes down that somebody wants a topic on a channel, or does not, and ends what waits of that';

-- What the topic is by default holds again: where people have to opt in, what waits ends.
CREATE FUNCTION outbox.clear_preference(
    channel text, recipient text, topic text, OUT cleared boolean, OUT ended bigint, OUT in_hand bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    looked_up text := CASE WHEN clear_preference.channel = 'email' THEN lower(clear_preference.recipient)
                           ELSE clear_preference.recipient END;
BEGIN
    DELETE FROM outbox.preferences p
    WHERE p.channel = clear_preference.channel AND p.recipient = looked_up AND p.topic = clear_preference.topic;
    cleared := FOUND;
    SELECT coalesce(sum(e.ended), 0), coalesce(sum(e.in_hand), 0) INTO clear_preference.ended, clear_preference.in_hand
    FROM outbox.topics t
    CROSS JOIN LATERAL outbox.end_unwanted(clear_preference.channel, looked_up, ARRAY[t.name], 'did not opt in, topic %s') e
    WHERE t.name = clear_preference.topic AND t.opt_in AND clear_preference.cleared;
END
$$;
COMMENT ON FUNCTION outbox.clear_preference IS 'Forgets what somebody said of a topic on a channel: its default holds again';

-- SELECT * FROM outbox.preferences_of('email', 'ada@example.org');
CREATE FUNCTION outbox.preferences_of(channel text, recipient text) RETURNS TABLE (
    topic text, wanted boolean, why text, source text, updated_at timestamptz, suppression text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH said AS (
        SELECT p.* FROM outbox.preferences p
        WHERE p.channel = preferences_of.channel
          AND p.recipient = CASE WHEN preferences_of.channel = 'email' THEN lower(preferences_of.recipient)
                                 ELSE preferences_of.recipient END
    ), every AS (
        SELECT t.name, t.transactional, t.opt_in FROM outbox.topics t
        WHERE t.channels IS NULL OR preferences_of.channel = ANY (t.channels)
        UNION ALL
        SELECT s.topic, false, false FROM said s WHERE NOT EXISTS (SELECT FROM outbox.topics)  -- they are free words
    )
    SELECT e.name, CASE WHEN e.transactional THEN true ELSE coalesce(s.wanted, NOT e.opt_in) END,
           CASE WHEN e.transactional THEN 'transactional' WHEN s.wanted IS NULL THEN 'default' ELSE 'explicit' END,
           CASE WHEN NOT e.transactional THEN s.source END, CASE WHEN NOT e.transactional THEN s.updated_at END,
           (SELECT k.reason FROM outbox.suppressions k
            WHERE k.channel = preferences_of.channel AND k.topic IN ('', e.name) AND k.sender = ''
              AND k.recipient = CASE WHEN preferences_of.channel = 'email' THEN lower(preferences_of.recipient)
                                     ELSE preferences_of.recipient END
              AND (k.until IS NULL OR k.until > clock_timestamp())
              AND (k.reason <> 'unsubscribed' OR NOT e.transactional)
            ORDER BY outbox.reason_strength(k.reason) DESC LIMIT 1)
    FROM every e
    LEFT JOIN said s ON s.topic = e.name
    ORDER BY e.name
$$;
COMMENT ON FUNCTION outbox.preferences_of IS 'What holds for somebody on a channel, topic by topic, and why';

-- What a claim asks: once, whether anything can be unwanted on its channel at all; then of each that has a topic which
-- everybody does not get.
CREATE FUNCTION outbox.anybody_chooses(channel text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM outbox.preferences p WHERE p.channel = anybody_chooses.channel)
        OR EXISTS (SELECT FROM outbox.topics t WHERE t.opt_in);
END
$$;
COMMENT ON FUNCTION outbox.anybody_chooses IS 'Whether somebody said what they want on a channel, or there is a topic that people opt in to';

CREATE FUNCTION outbox.unwanted(channel text, recipient text, topic text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    looked_up text := CASE channel WHEN 'email' THEN lower(recipient) ELSE recipient END;
    said      boolean;
    said_at   timestamptz;
BEGIN
    SELECT p.wanted, p.updated_at INTO said, said_at
    FROM outbox.preferences p
    WHERE p.channel = unwanted.channel AND p.recipient = looked_up AND p.topic = unwanted.topic;
    IF said THEN
        RETURN NULL;
    ELSIF NOT said THEN
        RETURN 'opted out, topic ' || topic || ', since ' || said_at::date;
    ELSIF EXISTS (SELECT FROM outbox.topics t WHERE t.name = unwanted.topic AND t.opt_in) THEN
        RETURN 'did not opt in, topic ' || topic;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION outbox.unwanted IS 'Why somebody is not sent a topic on a channel, by what they said, or else its default; NULL if they are';
