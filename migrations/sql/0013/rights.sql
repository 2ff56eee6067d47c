-- The functions that write have their owner's rights: only those whom the owner allows may call them.
REVOKE EXECUTE ON FUNCTION outbox.refuse_suppression, outbox.end_suppressed, outbox.waiting_for, outbox.waiting_one_by_one,
                           outbox.suppress, outbox.sweep_suppressed, outbox.lift_suppression, outbox.unsuppress
    FROM PUBLIC;

-- Whoever may enqueue records opt-outs as well; whoever may write attempts is a worker, and says which topics there are.
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
            EXECUTE format('GRANT SELECT, INSERT, UPDATE ON outbox.topics TO %s', granted.role);
        ELSE
            EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.suppress, outbox.unsuppress TO %s', granted.role);
        END IF;
    END LOOP;
END
$$;
