-- The functions that write, or read for others, have their owner's rights: only those whom the owner allows may call them.
REVOKE EXECUTE ON FUNCTION outbox.refuse_topic, outbox.refuse_preference, outbox.end_unwanted, outbox.set_preferences,
                           outbox.set_preference, outbox.clear_preference, outbox.preferences_of
    FROM PUBLIC;

-- Whoever may enqueue may know which topics there are, and record what people want. Workers look at it.
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT DISTINCT a.grantee::regrole AS role, c.relname
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid IN ('outbox.attempts'::regclass, 'outbox.notifications'::regclass)
          AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        IF granted.relname = 'attempts' THEN
            EXECUTE format('GRANT SELECT ON outbox.preferences TO %s', granted.role);
        ELSE
            EXECUTE format('GRANT SELECT ON outbox.topics TO %s', granted.role);
            EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.set_preferences, outbox.set_preference, outbox.clear_preference, '
                           'outbox.preferences_of TO %s', granted.role);
        END IF;
    END LOOP;
END
$$;
