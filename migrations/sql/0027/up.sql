-- Nullable and without a default: PostgreSQL notes it in its catalogue, and touches no row. There is no CHECK: the planner
-- would look at one for each partition of each claim, and what is no trace is passed over by workers.
ALTER TABLE outbox.notifications ADD COLUMN trace text;
COMMENT ON COLUMN outbox.notifications.trace IS 'The trace that it was enqueued in, as a traceparent (W3C Trace Context), if there was one';
COMMENT ON COLUMN outbox.notifications.headers IS 'Headers of the message, such as List-Unsubscribe';

-- Whoever may see whom it is for, and not what it says, may see this: auditors have rights by the column.
DO $$
DECLARE
    other oid;
BEGIN
    FOR other IN
        SELECT r.grantee
        FROM pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) r
        WHERE a.attrelid = 'outbox.notifications'::regclass AND a.attname = 'recipient' AND r.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT (trace) ON outbox.notifications TO %s', CASE other WHEN 0 THEN 'PUBLIC' ELSE other::regrole::text END);
    END LOOP;
END
$$;
