-- The new code in place of the old one: `SELECT outbox.supersede(e.id) FROM outbox.enqueue(…, group_key => 'otp:42') e`
-- takes back whatever else of its channel has its group key and has not ended, in the caller's transaction, and returns
-- how many there were.
--
-- What a worker has in hand is taken out of it as well, which cancel() leaves: its send may go on, but it is not tried
-- again, and what waits in the worker's memory is not begun, because the worker is told at the commit. Until then the
-- worker's settlement passes these rows by.
--
-- The lock makes two that supersede each other one after the other: whoever comes second sees what the first has
-- committed, and takes it back.
CREATE FUNCTION outbox.supersede(id uuid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    newest record;
    others uuid[];
    ended  bigint;
BEGIN
    SELECT n.channel, n.group_key INTO newest FROM outbox.notifications n WHERE n.id = supersede.id;
    IF newest.group_key IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('notification %s supersedes nothing: it has no group_key, or is not there', supersede.id),
            HINT = 'Give a group_key to all that replace one another, such as otp:42.';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(newest.channel || ' ' || newest.group_key, 68782479));

    -- In id order, as every bulk write here: two of them wait for each other, and never deadlock.
    others := ARRAY(SELECT q.id FROM outbox.queue q
                    WHERE q.id = ANY (ARRAY(SELECT n.id FROM outbox.notifications n
                                            WHERE n.group_key = newest.group_key AND n.channel = newest.channel
                                              AND n.id <> supersede.id))
                    ORDER BY q.id FOR UPDATE);
    WITH taken AS (
        DELETE FROM outbox.queue q
        WHERE q.id = ANY (others)
        RETURNING q.id, q.claim, q.attempt, q.worker, coalesce(q.leased_until > clock_timestamp(), false) AS leased,
                  q.channel, q.ordering_key, q.position
    ), recorded AS (
        INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome, worker, error)
        SELECT t.id, t.claim + 1, t.attempt, 'cancelled', NULL, 'superseded by ' || supersede.id FROM taken t
        UNION ALL
        SELECT t.id, t.claim, t.attempt, 'lost', t.worker, NULL FROM taken t WHERE t.worker IS NOT NULL AND NOT t.leased
        ON CONFLICT DO NOTHING
    ), told AS (
        SELECT pg_notify('outbox', 'gone ' || t.id) FROM taken t WHERE t.leased
    ), unblocked AS (
        SELECT outbox.unblock_next(t.channel, t.ordering_key, t.position, others) FROM taken t WHERE t.ordering_key IS NOT NULL
    )
    SELECT count(*) INTO ended FROM taken
    WHERE (SELECT count(*) FROM told) + (SELECT count(*) FROM unblocked) >= 0;
    RETURN ended;
END
$$;
REVOKE EXECUTE ON FUNCTION outbox.supersede FROM PUBLIC;
COMMENT ON FUNCTION outbox.supersede IS 'Takes back, in the current transaction, what else has this notification''s channel and group key; returns how many';
