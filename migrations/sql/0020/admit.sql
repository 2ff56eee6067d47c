-- Decides which of these, that were just claimed, may be sent. Returns those that may not, with the seconds until they could
-- and whether they stand in line until then; and those that may after they had waited, with the seconds since they were
-- let through. Rows are locked in one order, and nobody's row in the queue is waited for, so that nothing can deadlock. Whoever
-- holds a row for longer than a moment, as an application does that erases somebody in a transaction that stays open, holds
-- up nobody else: who is in that row comes again, with no word on whether they stand in line.
--
-- Nearly all are the first of their recipient: for these a row is made, many in one statement, and all before any is locked:
-- whoever waits for a new row must not hold one that its maker waits for. Plans are generic: each would be
-- made anew for the very arrays that it is given, which takes ten times as long as to run it.
CREATE FUNCTION outbox.admit(
    channel text, ids uuid[], recipients text[], topics text[], numbers bigint[], periods double precision[], defers boolean[])
    RETURNS TABLE (id uuid, wait double precision, in_line boolean, age double precision)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
    SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
    most_in_line constant bigint := 1000;
    asked  record;
    t      outbox.throttles;
    before outbox.throttles;
    moment timestamptz := clock_timestamp();
    line   uuid[];
    going  uuid[];
    free   bigint;
    frees  timestamptz[];
BEGIN
    FOR asked IN
        WITH given AS (
            SELECT outbox.throttle_recipient(admit.channel, g.recipient) AS recipient, g.topic, g.number,
                   make_interval(secs => g.period) AS period, g.defers, array_agg(g.id ORDER BY g.place) AS ids
            FROM unnest(admit.ids, recipients, topics, numbers, periods, admit.defers) WITH ORDINALITY
                AS g (id, recipient, topic, number, period, defers, place)
            GROUP BY 1, 2, 3, 4, 5
        ), made AS (
            INSERT INTO outbox.throttles (look_at, period, number, held_at, held, channel, topic, recipient)
            SELECT moment + least(g.period, interval '1 hour'), g.period, g.number,
                   CASE WHEN f.fits THEN array_fill(moment, ARRAY[cardinality(g.ids)]) ELSE '{}' END,
                   CASE WHEN f.fits THEN g.ids ELSE '{}' END, admit.channel, g.topic, g.recipient
            FROM given g
            CROSS JOIN LATERAL (SELECT cardinality(g.ids) <= g.number AS fits) f
            -- Of what somebody deletes this moment, ON CONFLICT would wait for the end.
            WHERE (SELECT true FROM outbox.throttles s
                   WHERE s.recipient = g.recipient AND s.topic = g.topic AND s.channel = admit.channel LIMIT 1) IS NULL
            ORDER BY g.recipient, g.topic
            ON CONFLICT DO NOTHING
            RETURNING recipient, topic, held
        )
        SELECT g.* FROM given g
        WHERE (g.recipient, g.topic) NOT IN (SELECT m.recipient, m.topic FROM made m WHERE m.held <> '{}')
        ORDER BY g.recipient, g.topic
    LOOP
        SELECT * INTO t FROM outbox.throttles s
        WHERE s.recipient = asked.recipient AND s.topic = asked.topic AND s.channel = admit.channel FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            BEGIN
                t := outbox.lock_throttle(admit.channel, asked.topic, asked.recipient, asked.number, asked.period);
            EXCEPTION
                WHEN lock_not_available THEN
                    RETURN QUERY SELECT c.id, 3::double precision, NULL::boolean, NULL::double precision FROM unnest(asked.ids) AS c (id);
                    CONTINUE;
            END;
        END IF;
        moment := clock_timestamp();
        before := t;
        line := t.waiting;
        t.number := asked.number;
        t.period := asked.period;
        t.waiting := line || ARRAY(
            SELECT c.id FROM unnest(asked.ids) WITH ORDINALITY AS c (id, place)
            WHERE c.id <> ALL (line) AND c.id <> ALL (t.held) ORDER BY c.place);
        t := outbox.refreshed_throttle(t, moment);
        going := t.waiting[1:greatest(t.number - cardinality(t.sent_at) - cardinality(t.held), 0)];
        IF NOT going <@ asked.ids THEN
            PERFORM outbox.wake_throttled(ARRAY(SELECT g.id FROM unnest(going) AS g (id) WHERE g.id <> ALL (asked.ids)), moment);
        END IF;
        going := ARRAY(SELECT g.id FROM unnest(going) WITH ORDINALITY AS g (id, place) WHERE g.id = ANY (asked.ids) ORDER BY g.place);
        t.held := t.held || going;
        t.held_at := t.held_at || array_fill(moment, ARRAY[cardinality(going)]);
        -- Where others do not wait, whoever was in line before does all the same: a digest, or what another policy put there.
        t.waiting := (ARRAY(
            SELECT w.id FROM unnest(t.waiting) WITH ORDINALITY AS w (id, place)
            WHERE w.id <> ALL (going) AND (asked.defers OR w.id = ANY (line)) ORDER BY w.place))[1:most_in_line];
        free := t.number - cardinality(t.sent_at) - cardinality(t.held);
        -- Of what is under way nobody knows when its place is free: as if it were sent this moment.
        frees := ARRAY(SELECT s.at + t.period FROM unnest(t.sent_at) AS s (at) ORDER BY 1)
                 || ARRAY(SELECT moment + t.period FROM generate_series(1, greatest(t.number - cardinality(t.sent_at), cardinality(t.held))));
        RETURN QUERY
            SELECT c.id, CASE WHEN h.place IS NULL THEN greatest(date_part('epoch',
                       frees[1 + w.turn % cardinality(frees)] + w.turn / cardinality(frees) * t.period - moment), 0.05) END,
                   c.id = ANY (t.waiting), date_part('epoch', moment - t.held_at[h.place])
            FROM unnest(asked.ids) AS c (id)
            CROSS JOIN LATERAL (SELECT array_position(t.held, c.id) AS place) h
            CROSS JOIN LATERAL (
                SELECT greatest(coalesce(array_position(t.waiting, c.id) - 1, cardinality(t.waiting)) - free, 0) AS turn) w;
        CONTINUE WHEN t IS NOT DISTINCT FROM before;  -- as where nothing more can be let through, and nobody waits
        UPDATE outbox.throttles s
        SET period = t.period, number = t.number, sent_at = t.sent_at, held_at = t.held_at, held = t.held, waiting = t.waiting,
            look_at = CASE WHEN t.waiting = '{}' THEN s.look_at ELSE least(s.look_at, outbox.next_look(t, moment)) END
        WHERE s.recipient = t.recipient AND s.topic = t.topic AND s.channel = t.channel;
    END LOOP;
END
$$;
COMMENT ON FUNCTION outbox.admit IS 'Decides which claimed notifications the throttles of their topics let through';
