-- Looks at the throttles whose time has come: reads how what was under way has ended, before its attempts are past their
-- retention, lets those go on for whom there is a place after all, and deletes what says nothing any more. Returns how many.
CREATE FUNCTION outbox.tend_throttles(batch bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
    SET jit = off
AS $$
DECLARE
    t      outbox.throttles;
    moment timestamptz := clock_timestamp();
    seen   bigint := 0;
BEGIN
    FOR t IN
        SELECT * FROM outbox.throttles s WHERE s.look_at <= moment
        ORDER BY s.look_at LIMIT tend_throttles.batch FOR UPDATE SKIP LOCKED
    LOOP
        seen := seen + 1;
        moment := clock_timestamp();
        t := outbox.refreshed_throttle(t, moment);
        IF t.sent_at = '{}' AND t.held = '{}' AND t.waiting = '{}' THEN
            DELETE FROM outbox.throttles s
            WHERE s.recipient = t.recipient AND s.topic = t.topic AND s.channel = t.channel;
        ELSE
            IF t.waiting <> '{}' THEN
                PERFORM outbox.wake_throttled(
                    t.waiting[1:greatest(t.number - cardinality(t.sent_at) - cardinality(t.held), 0)], moment);
            END IF;
            UPDATE outbox.throttles s
            SET sent_at = t.sent_at, held_at = t.held_at, held = t.held, waiting = t.waiting,
                look_at = outbox.next_look(t, moment)
            WHERE s.recipient = t.recipient AND s.topic = t.topic AND s.channel = t.channel;
        END IF;
    END LOOP;
    DELETE FROM outbox.throttle_digests d
    WHERE (d.digest_id, d.notification_id) IN (
        SELECT o.digest_id, o.notification_id FROM outbox.throttle_digests o
        WHERE o.digest_id < outbox.uuid7_floor(clock_timestamp() - interval '90 days')
        ORDER BY o.digest_id LIMIT tend_throttles.batch);
    RETURN seen;
END
$$;
COMMENT ON FUNCTION outbox.tend_throttles IS 'Looks at the throttles whose time has come, and deletes those that say nothing any more';
