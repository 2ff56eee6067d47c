-- What one notification is for, another may have done: it is not sent once that was read, or was sent.

ALTER TABLE outbox.notifications ADD COLUMN unless_sent uuid;
COMMENT ON COLUMN outbox.notifications.unless_read IS 'Not to be sent once the notification of this id was read';
COMMENT ON COLUMN outbox.notifications.unless_sent IS 'Not to be sent if the notification of this id was sent, or taken back, by then';

-- By which what waits is found when something is read. In the queue, where it is small, and gone when it has ended.
ALTER TABLE outbox.queue ADD COLUMN unless_read uuid;
COMMENT ON COLUMN outbox.queue.unless_read IS 'As enqueued';
UPDATE outbox.queue q SET unless_read = n.unless_read FROM outbox.notifications n WHERE n.id = q.id AND n.unless_read IS NOT NULL;
CREATE INDEX queue_unless_read ON outbox.queue (unless_read) WHERE unless_read IS NOT NULL;

ALTER TABLE outbox.topics ADD COLUMN escalation text[];
COMMENT ON COLUMN outbox.topics.escalation IS 'In which ways somebody is told, one after another; empty where there is one way';

CREATE FUNCTION outbox.needless_words(id uuid, what text, moment timestamptz) RETURNS text
    LANGUAGE sql STABLE
    RETURN format('%s was %s at %s UTC', id, what, to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'));
COMMENT ON FUNCTION outbox.needless_words IS 'What is recorded of a notification that was not needed any more';

-- Asked by the claim, of those that have a condition. What was put away counts as read; what was only seen in a list does not.
-- What was taken back need not be followed by anything either. What is not there (any more) was not read, and not sent.
CREATE FUNCTION outbox.why_needless(unless_read uuid, unless_sent uuid) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_at timestamptz;
    how      text;
BEGIN
    IF unless_read IS NOT NULL THEN
        SELECT coalesce(i.read_at, i.archived_at) INTO found_at
        FROM outbox.inbox i WHERE i.notification_id = why_needless.unless_read;
        IF found_at IS NOT NULL THEN
            RETURN outbox.needless_words(unless_read, 'read', found_at);
        END IF;
    END IF;
    IF unless_sent IS NOT NULL THEN
        SELECT a.finished_at, a.outcome INTO found_at, how
        FROM outbox.attempts a
        WHERE a.notification_id = why_needless.unless_sent AND a.outcome IN ('sent', 'cancelled')
        ORDER BY a.outcome = 'sent' DESC, a.claim DESC LIMIT 1;
        IF found_at IS NOT NULL THEN
            RETURN outbox.needless_words(unless_sent, how, found_at);
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION outbox.why_needless IS 'Why a notification with these conditions is not needed any more; NULL when it is';

-- Ends, in the caller's transaction, what was to be sent unless these (in order) were read. As supersede() does, it takes
-- it out of a worker's hands as well, which is told at the commit: a send that has begun goes on, and is not tried again.
CREATE FUNCTION outbox.end_needless(ids uuid[], moments timestamptz[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    theirs uuid[];
    ended  bigint;
BEGIN
    -- In id order, as every bulk write here: two of them wait for each other, and never deadlock.
    theirs := ARRAY(SELECT q.id FROM outbox.queue q WHERE q.unless_read = ANY (ids) ORDER BY q.id FOR UPDATE);
    IF theirs = '{}' THEN
        RETURN 0;
    END IF;
    WITH taken AS (
        DELETE FROM outbox.queue q
        WHERE q.id = ANY (theirs)
        RETURNING q.id, q.claim, q.attempt, q.worker, coalesce(q.leased_until > clock_timestamp(), false) AS leased,
                  q.channel, q.ordering_key, q.position, q.unless_read
    ), recorded AS (
        INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome, worker, error_class, error)
        SELECT t.id, t.claim + 1, t.attempt, 'cancelled', NULL, 'needless',
               outbox.needless_words(t.unless_read, 'read', moments[width_bucket(t.unless_read, ids)])
        FROM taken t
        UNION ALL
        SELECT t.id, t.claim, t.attempt, 'lost', t.worker, NULL, NULL FROM taken t WHERE t.worker IS NOT NULL AND NOT t.leased
        ON CONFLICT DO NOTHING
    ), told AS (
        SELECT pg_notify('outbox', 'gone ' || t.id) FROM taken t WHERE t.leased
    ), unblocked AS (
        SELECT outbox.unblock_next(t.channel, t.ordering_key, t.position, theirs) FROM taken t WHERE t.ordering_key IS NOT NULL
    )
    SELECT count(*) INTO ended FROM taken
    WHERE (SELECT count(*) FROM told) + (SELECT count(*) FROM unblocked) >= 0;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION outbox.end_needless IS 'Ends what was to be sent unless these were read, at these moments; returns how many';

-- Whoever marks it, and however.
CREATE FUNCTION outbox.heed_reading() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM outbox.end_needless(array_agg(m.notification_id ORDER BY m.notification_id),
                                array_agg(coalesce(m.read_at, m.archived_at) ORDER BY m.notification_id))
    FROM marked m
    WHERE m.read_at IS NOT NULL OR m.archived_at IS NOT NULL
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION outbox.heed_reading IS 'Ends what was to be sent unless this was read';
CREATE TRIGGER heed_reading AFTER UPDATE ON outbox.inbox
    REFERENCING NEW TABLE AS marked FOR EACH STATEMENT EXECUTE FUNCTION outbox.heed_reading();

-- SELECT outbox.mark_read(id);
-- That a person has read something, which the application learns of in its own way: that a push was tapped on, say. An item of
-- an inbox is marked as well, and the trigger does the rest; of others there is no record but what it ends.
CREATE FUNCTION outbox.mark_read(id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    UPDATE outbox.inbox i SET read_at = moment, seen_at = coalesce(i.seen_at, moment)
    WHERE i.notification_id = mark_read.id AND i.read_at IS NULL;
    PERFORM outbox.end_needless(ARRAY[mark_read.id], ARRAY[moment]);
END
$$;
COMMENT ON FUNCTION outbox.mark_read IS 'Ends, in the current transaction, what was to be sent unless this notification was read';

REVOKE EXECUTE ON FUNCTION outbox.end_needless, outbox.heed_reading, outbox.mark_read FROM PUBLIC;
