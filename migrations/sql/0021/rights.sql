-- The query runs with the caller's rights; what it returns is judged and enqueued with the owner's.
REVOKE EXECUTE ON FUNCTION outbox.selected_rows, outbox.selected_row, outbox.enqueue_rows, outbox.enqueue_select,
                           outbox.stage_fan_out, outbox.staged_rows, outbox.staged_sample, outbox.advance_fan_out
    FROM PUBLIC;

DO $$
DECLARE
    enqueuer oid;
BEGIN
    FOR enqueuer IN
        SELECT DISTINCT a.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'outbox.notifications'::regclass AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON outbox.fan_outs TO %s', enqueuer::regrole);
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.check_schedule, outbox.schedule_statement, outbox.selected_rows, '
                       'outbox.selected_row, outbox.enqueue_rows, outbox.enqueue_select, outbox.stage_fan_out, outbox.staged_rows, '
                       'outbox.staged_sample, outbox.advance_fan_out TO %s', enqueuer::regrole);
    END LOOP;
END
$$;
