-- What a throttle gathered goes out for as long as one of its items would have, and is what became of each of them.
ALTER TABLE outbox.digests ADD COLUMN expires_at timestamptz;
COMMENT ON COLUMN outbox.digests.expires_at IS 'When the last of them expires; empty where one of them does not';

-- By which it is found what a notification went out in: only where another is not to be sent unless that was.
CREATE INDEX throttle_digests_notification ON outbox.throttle_digests (notification_id);

-- Asked by the claim, of those that were tried before.
CREATE FUNCTION outbox.unrecognised(id uuid, since timestamptz) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT concat(a.provider, ' ', a.error_code) FROM outbox.attempts a
        WHERE a.notification_id = unrecognised.id AND a.error_class = 'unrecognised'
          AND a.finished_at > coalesce(since, '-infinity'));
END
$$;
COMMENT ON FUNCTION outbox.unrecognised IS 'Which providers refused a notification, since a moment, with codes that their tables do not have';

-- Whoever may write attempts is a worker, whose claims ask.
DO $$
DECLARE
    worker oid;
BEGIN
    FOR worker IN
        SELECT DISTINCT a.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'outbox.attempts'::regclass AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT SELECT ON outbox.throttle_digests TO %s', worker::regrole);
    END LOOP;
END
$$;
