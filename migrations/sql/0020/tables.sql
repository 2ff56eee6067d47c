-- At most `number` in any `period`, of one topic, for one recipient: one row each, which whoever decides holds. What was sent
-- counts from when it reached the recipient, what is under way counts until it has ended, and how it ended is read where it
-- is on record anyway: so neither a claim nor a settlement writes anything here.
CREATE TABLE outbox.throttles (
    look_at   timestamptz   NOT NULL,
    period    interval      NOT NULL,
    number    bigint        NOT NULL,
    sent_at   timestamptz[] NOT NULL DEFAULT '{}',
    held_at   timestamptz[] NOT NULL DEFAULT '{}',
    held      uuid[]        NOT NULL DEFAULT '{}',
    waiting   uuid[]        NOT NULL DEFAULT '{}',
    channel   text          NOT NULL,
    topic     text          NOT NULL,
    recipient bytea         NOT NULL,
    CONSTRAINT throttles_pkey PRIMARY KEY (recipient, topic, channel),
    CONSTRAINT throttles_are_positive CHECK (number > 0 AND period > interval '0'),
    CONSTRAINT throttles_held_since CHECK (cardinality(held) = cardinality(held_at))
) WITH (fillfactor = 80);
CREATE INDEX throttles_look_at ON outbox.throttles (look_at);

CREATE TABLE outbox.throttle_digests (
    digest_id       uuid NOT NULL,
    notification_id uuid NOT NULL,
    CONSTRAINT throttle_digests_pkey PRIMARY KEY (digest_id, notification_id)
);

-- A digest of the recipient, which may be as long as a subscription: a list of whom we write to is nobody's business. Of
-- email addresses the case does not matter.
CREATE FUNCTION outbox.throttle_recipient(channel text, recipient text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sha256(convert_to(CASE WHEN throttle_recipient.channel = 'email' THEN lower(throttle_recipient.recipient)
                                  ELSE throttle_recipient.recipient END, 'UTF8'));

-- When a notification that has ended reached its recipient, or may have; NULL where it surely has not. `otherwise` is for one
-- that nothing is known of any more.
CREATE FUNCTION outbox.reached_at(id uuid, otherwise timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE WHEN count(*) = 0 THEN otherwise
                    ELSE max(a.finished_at) FILTER (WHERE a.outcome IN ('sent', 'ambiguous', 'lost') OR a.error_class = 'ambiguous')
               END
        FROM outbox.attempts a WHERE a.notification_id = reached_at.id);
END
$$;

-- The row of one throttle, locked; made by whoever comes first.
CREATE FUNCTION outbox.lock_throttle(channel text, topic text, recipient bytea, number bigint, period interval)
    RETURNS outbox.throttles
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t outbox.throttles;
BEGIN
    LOOP
        SELECT * INTO t FROM outbox.throttles s
        WHERE s.recipient = lock_throttle.recipient AND s.topic = lock_throttle.topic AND s.channel = lock_throttle.channel
        FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO outbox.throttles (look_at, period, number, channel, topic, recipient)
        VALUES (clock_timestamp() + least(lock_throttle.period, interval '1 hour'), lock_throttle.period,
                lock_throttle.number, lock_throttle.channel, lock_throttle.topic, lock_throttle.recipient)
        ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN t;
END
$$;

-- A throttle as it is at this moment: without what was sent too long ago; what was under way and has ended counts from when it
-- reached the recipient, or not at all; who waits stands in the order of priority, and then of arrival. A digest that is
-- still open stands in line under the id that it will have.
CREATE FUNCTION outbox.refreshed_throttle(t outbox.throttles, moment timestamptz) RETURNS outbox.throttles
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF t.held <> '{}' THEN
        SELECT coalesce(array_agg(h.id ORDER BY h.place) FILTER (WHERE h.under_way), '{}'),
               coalesce(array_agg(h.at ORDER BY h.place) FILTER (WHERE h.under_way), '{}'),
               t.sent_at || coalesce(array_agg(h.reached_at) FILTER (WHERE h.reached_at IS NOT NULL), '{}')
        INTO t.held, t.held_at, t.sent_at
        FROM (
            SELECT o.id, o.at, o.place, q.id IS NOT NULL AS under_way,
                   CASE WHEN q.id IS NULL THEN outbox.reached_at(o.id, moment) END AS reached_at
            FROM unnest(t.held, t.held_at) WITH ORDINALITY AS o (id, at, place)
            LEFT JOIN LATERAL (SELECT w.id FROM outbox.queue w WHERE w.id = o.id LIMIT 1) q ON true
        ) h;
    END IF;
    IF t.sent_at <> '{}' THEN
        t.sent_at := ARRAY(SELECT s.at FROM unnest(t.sent_at) AS s (at) WHERE s.at > moment - t.period ORDER BY s.at);
    END IF;
    IF t.waiting <> '{}' THEN
        t.waiting := ARRAY(
            SELECT o.id
            FROM unnest(t.waiting) WITH ORDINALITY AS o (id, place)
            CROSS JOIN LATERAL (
                SELECT q.priority FROM outbox.queue q WHERE q.id = o.id
                UNION ALL
                SELECT d.priority FROM outbox.digests d WHERE d.id = o.id
                LIMIT 1
            ) w
            WHERE o.id <> ALL (t.held)
            ORDER BY w.priority, o.place);
    END IF;
    RETURN t;
END
$$;

-- Those for whom there is a place come at once, whatever they were told before. Nobody is waited for.
CREATE FUNCTION outbox.wake_throttled(ids uuid[], moment timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE outbox.queue q SET run_at = moment
    WHERE q.id = ANY (ARRAY(
        SELECT w.id FROM outbox.queue w
        WHERE w.id = ANY (ids) AND w.worker IS NULL AND w.run_at > moment AND w.run_at < 'infinity'
        ORDER BY w.id FOR UPDATE SKIP LOCKED));
    UPDATE outbox.digests d SET closes_at = moment
    WHERE d.id = ANY (ARRAY(
        SELECT w.id FROM outbox.digests w WHERE w.id = ANY (ids) AND w.closes_at > moment ORDER BY w.id FOR UPDATE SKIP LOCKED));
END
$$;

-- When somebody has to look at it again: soon, while what is under way may come to nothing and leave a place to who waits.
CREATE FUNCTION outbox.next_look(t outbox.throttles, moment timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN t.waiting <> '{}' AND (t.held <> '{}' OR cardinality(t.sent_at) < t.number) THEN moment + interval '1 minute'
                WHEN t.waiting <> '{}' THEN t.sent_at[1] + t.period + interval '10 seconds'
                WHEN t.held <> '{}' THEN moment + interval '10 minutes'
                ELSE t.sent_at[cardinality(t.sent_at)] + t.period END;

COMMENT ON TABLE outbox.throttles IS 'What was sent to a recipient about a topic that has a throttle, and who waits for a place';
COMMENT ON COLUMN outbox.throttles.look_at IS 'When a chore looks at it';
COMMENT ON COLUMN outbox.throttles.period IS 'As configured: in any period of this length';
COMMENT ON COLUMN outbox.throttles.number IS 'As configured: so many';
COMMENT ON COLUMN outbox.throttles.sent_at IS 'When those were sent that still count';
COMMENT ON COLUMN outbox.throttles.held_at IS 'When those that are under way were let through';
COMMENT ON COLUMN outbox.throttles.held IS 'Those that are under way, or have ended since somebody looked: each has its place';
COMMENT ON COLUMN outbox.throttles.waiting IS 'Who waits for a place, in order: notifications, and digests that are open';
COMMENT ON COLUMN outbox.throttles.channel IS 'The channel';
COMMENT ON COLUMN outbox.throttles.topic IS 'The topic';
COMMENT ON COLUMN outbox.throttles.recipient IS 'SHA-256 of the recipient; of an email address in lower case';
COMMENT ON TABLE outbox.throttle_digests IS 'Which notifications went out together, because a throttle kept them back';
COMMENT ON COLUMN outbox.throttle_digests.digest_id IS 'The notification that they went out in';
COMMENT ON COLUMN outbox.throttle_digests.notification_id IS 'One of them';
COMMENT ON FUNCTION outbox.throttle_recipient IS 'A recipient as in throttles.recipient';
COMMENT ON FUNCTION outbox.reached_at IS 'When a notification that has ended reached its recipient, or may have';
COMMENT ON FUNCTION outbox.lock_throttle IS 'Locks the row of a throttle, or makes it';
COMMENT ON FUNCTION outbox.refreshed_throttle IS 'A throttle as it is at a moment';
COMMENT ON FUNCTION outbox.wake_throttled IS 'Makes those due for whom there is a place';
COMMENT ON FUNCTION outbox.next_look IS 'When a chore has to look at a throttle again';
