-- A topic is declared with all that the configuration says of it, and every INSERT is held to that.
ALTER TABLE outbox.topics
    ADD COLUMN opt_in   boolean NOT NULL DEFAULT false,
    ADD COLUMN channels text[],
    ADD COLUMN delivery text,
    ADD COLUMN expires  interval,
    ADD CONSTRAINT topics_everybody_or_those_who_want_it CHECK (NOT (transactional AND opt_in)),
    ADD CONSTRAINT topics_have_a_channel CHECK (cardinality(channels) > 0),
    ADD CONSTRAINT topics_delivery_is_known CHECK (delivery IN ('at_least_once', 'at_most_once')),
    ADD CONSTRAINT topics_expire_later CHECK (expires > interval '0');
COMMENT ON TABLE outbox.topics IS 'The topics of [topics] in the configuration, as a worker said when it started, or outbox topic sync';
COMMENT ON COLUMN outbox.topics.opt_in IS 'Whether it is sent to those alone who have said that they want it';
COMMENT ON COLUMN outbox.topics.channels IS 'The channels that it may be sent by; empty means any';
COMMENT ON COLUMN outbox.topics.delivery IS 'at_least_once or at_most_once, where nobody can know whether it arrived; empty means as its channel';
COMMENT ON COLUMN outbox.topics.expires IS 'How long after it is due it is worth sending, where an enqueue does not say';

-- Whether notifications about the topic may be enqueued for the channel. Where no topic is declared, they are free words.
-- What was found is remembered until the transaction ends, so that of many rows about one thing the first alone looks it
-- up. (By assignments: PERFORM would run a query for each.)
CREATE FUNCTION outbox.heed_topic(topic text, channel text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lasting text;
BEGIN
    SELECT date_part('epoch', t.expires)::text INTO lasting
    FROM outbox.topics t
    WHERE t.name = topic AND (t.channels IS NULL OR channel = ANY (t.channels));
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM outbox.topics) THEN
            RETURN false;
        END IF;
    END IF;
    lasting := set_config('outbox.topic_expires', coalesce(lasting, ''), true);
    lasting := set_config('outbox.topic', topic || ' ' || channel, true);
    RETURN true;
END
$$;
COMMENT ON FUNCTION outbox.heed_topic IS 'Whether notifications about this topic may be enqueued for this channel';

-- The channel if so, else no row: an enqueue that draws its channel from here reports what is wrong, and raises nothing.
CREATE FUNCTION outbox.takes_topic(topic text, channel text) RETURNS SETOF text
    LANGUAGE plpgsql ROWS 1
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF outbox.heed_topic(topic, channel) THEN
        RETURN NEXT channel;
    END IF;
END
$$;
COMMENT ON FUNCTION outbox.takes_topic IS 'The channel, if notifications about this topic may be enqueued for it; else no row';

-- What was declared otherwise when it was first enqueued goes on all the same: a digest, a dead letter that is enqueued anew.
CREATE FUNCTION outbox.refuse_topic(topic text, channel text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its   text[];
    known text;
BEGIN
    IF current_setting('outbox.any_topic', true) = 'on' THEN
        PERFORM set_config('outbox.topic', '', true), set_config('outbox.topic_expires', '', true);
        RETURN;
    END IF;
    SELECT t.channels INTO its FROM outbox.topics t WHERE t.name = topic;
    IF FOUND THEN
        RAISE check_violation USING MESSAGE = format('topic %L is not sent by %s', topic, channel),
            HINT = 'It is sent by ' || array_to_string(its, ', ') || '.',
            COLUMN = 'topic', CONSTRAINT = 'notifications_topic_has_channel', TABLE = 'notifications', SCHEMA = 'outbox';
    END IF;
    SELECT string_agg(t.name, ', ' ORDER BY t.name) INTO known FROM (SELECT * FROM outbox.topics ORDER BY name LIMIT 20) t;
    RAISE check_violation USING MESSAGE = format('topic %L is not declared', topic),
        HINT = format('There are %s. A topic is declared by [topics.…] in the configuration, and outbox topic sync.', known),
        COLUMN = 'topic', CONSTRAINT = 'notifications_topic_is_declared', TABLE = 'notifications', SCHEMA = 'outbox';
END
$$;
COMMENT ON FUNCTION outbox.refuse_topic IS 'Raises an error that says why nothing about this topic may be enqueued for this channel';

-- One trigger looks at a row before it is inserted, if that has a topic or a key: PostgreSQL reads each WHEN anew in every
-- statement. See docs/decisions/0013.
DROP TRIGGER notifications_take_idempotency_key ON outbox.notifications;
CREATE TRIGGER notifications_take_idempotency_key BEFORE INSERT ON outbox.notifications
    FOR EACH ROW WHEN (NEW.idempotency_key IS NOT NULL OR NEW.topic IS NOT NULL) EXECUTE FUNCTION outbox.take_idempotency_key();
COMMENT ON FUNCTION outbox.take_idempotency_key IS
    'Looks at the topic of a row about to be inserted, and takes its idempotency key; skips a duplicate';
