-- The roles of an outbox, and all that they may do. Run it as the owner of the tables, in one transaction, again after
-- each migration: what it does not grant, it takes away. Making roles needs CREATEROLE; where they exist, ownership is
-- enough. None of them can log in: GRANT outbox_enqueuer TO app.

DO $$
DECLARE
    role   text;
    object regclass;
BEGIN
    FOREACH role IN ARRAY ARRAY['outbox_enqueuer', 'outbox_worker', 'outbox_auditor', 'outbox_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
        EXECUTE format('REVOKE ALL ON SCHEMA outbox FROM %I', role);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA outbox FROM %I', role);
        FOR object IN
            SELECT c.oid FROM pg_class c
            WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind IN ('r', 'p', 'v')
              AND (NOT c.relispartition OR c.relname LIKE '%\_default')
        LOOP
            EXECUTE format('REVOKE ALL ON TABLE %s FROM %I', object, role);
        END LOOP;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA outbox TO outbox_enqueuer, outbox_worker, outbox_auditor, outbox_operator;

-- May enqueue: by INSERT, COPY, the functions, an ORM, which reads the defaults of these columns back; and record that
-- somebody has opted out, or in again, and what they want. Nothing else: it reads no message and no list of addresses, and
-- cancels nothing.
GRANT INSERT ON outbox.notifications TO outbox_enqueuer;
GRANT SELECT (id, created_at, run_at, priority) ON outbox.notifications TO outbox_enqueuer;
GRANT EXECUTE ON FUNCTION outbox.enqueue, outbox.enqueue_many, outbox.enqueue_digest, outbox.suppress, outbox.unsuppress,
                          outbox.set_preference, outbox.set_preferences, outbox.clear_preference, outbox.preferences_of
    TO outbox_enqueuer;
GRANT SELECT ON outbox.topics TO outbox_enqueuer;
GRANT EXECUTE ON FUNCTION outbox.escalate, outbox.escalation_of TO outbox_enqueuer;
-- What a query returns, that it may run itself. It learns how many are kept back, and not who.
GRANT SELECT, INSERT, UPDATE ON outbox.fan_outs TO outbox_enqueuer;
GRANT EXECUTE ON FUNCTION outbox.check_schedule, outbox.schedule_statement, outbox.selected_rows, outbox.selected_row,
                          outbox.enqueue_rows, outbox.enqueue_select, outbox.stage_fan_out, outbox.staged_rows,
                          outbox.staged_sample, outbox.advance_fan_out TO outbox_enqueuer;

-- Claims, delivers, settles, and does the chores: partitions ahead, and retention by small steps of one day and older. It
-- runs schedules and can make none, and their queries with its own rights: where there are any, it is an enqueuer as well,
-- and may read what they read.
GRANT SELECT ON outbox.notifications, outbox.partitions, outbox.preferences, outbox.pauses, outbox.throttle_digests, outbox.migrations TO outbox_worker;
GRANT SELECT, INSERT ON outbox.inbox TO outbox_worker;
GRANT SELECT, UPDATE, DELETE ON outbox.queue TO outbox_worker;
GRANT SELECT, INSERT, UPDATE ON outbox.attempts, outbox.dead_letters, outbox.suppressions, outbox.chores, outbox.topics
    TO outbox_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.workers, outbox.limits, outbox.depths, outbox.gauges, outbox.samples TO outbox_worker;
GRANT SELECT, UPDATE (next_at, retry_at, failures, problem) ON outbox.schedules TO outbox_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.schedule_runs TO outbox_worker;
GRANT EXECUTE ON FUNCTION outbox.run_schedule, outbox.schedule_statement TO outbox_worker;
GRANT EXECUTE ON FUNCTION outbox.ensure_partitions, outbox.detach_expired_partition, outbox.drop_detached_partition,
                          outbox.delete_expired, outbox.delete_expired_keys, outbox.close_due_digests,
                          outbox.admit, outbox.gather, outbox.tend_throttles TO outbox_worker;

-- Reads everything but what messages say, and what was erased: `outbox status`, `explain`, `dead-letters groups`, `list`
-- and `export`.
GRANT SELECT ON outbox.queue, outbox.attempts, outbox.workers, outbox.chores, outbox.suppressions, outbox.preferences, outbox.topics,
                outbox.limits, outbox.throttles, outbox.throttle_digests, outbox.pauses, outbox.erasures, outbox.schedule_runs, outbox.fan_outs,
                outbox.migrations, outbox.status, outbox.partitions, outbox.audit_timeline, outbox.audit_by_recipient,
                outbox.audit_failures, outbox.audit_days, outbox.audit_daily, outbox.depths, outbox.gauges, outbox.samples, outbox.audit
    TO outbox_auditor, outbox_operator;
GRANT EXECUTE ON FUNCTION outbox.throttle_recipient TO outbox_auditor, outbox_operator;
GRANT SELECT (id) ON outbox.notifications_default TO outbox_auditor, outbox_operator, outbox_worker;
GRANT SELECT (notification_id) ON outbox.attempts_default TO outbox_auditor, outbox_operator, outbox_worker;
DO $$
DECLARE
    told record;
BEGIN
    FOR told IN
        SELECT a.attrelid::regclass AS object, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns
        FROM pg_attribute a
        WHERE a.attrelid IN ('outbox.notifications'::regclass, 'outbox.dead_letters'::regclass, 'outbox.inbox'::regclass,
                             'outbox.idempotency_keys'::regclass, 'outbox.schedules'::regclass,
                             'outbox.digests'::regclass)
          AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attname <> ALL (ARRAY['payload', 'headers', 'title', 'body', 'data', 'url', 'digest', 'query', 'defaults'])
        GROUP BY a.attrelid
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON %s TO outbox_auditor, outbox_operator', told.columns, told.object);
    END LOOP;
END
$$;

-- Steers, and mends: reads what auditors do, pauses and resumes, replays and discards dead letters, adds and removes
-- suppressions, and writes down that it did. To replay what retention has dropped is to enqueue it anew, with its content
-- and its key. It says neither when it did something, nor with which login.
GRANT INSERT, UPDATE ON outbox.pauses TO outbox_operator;
GRANT INSERT (actor, action, subject, reason, details) ON outbox.audit TO outbox_operator;
GRANT SELECT, UPDATE (resolution, resolved_at, replays, replaced_by, discard_reason) ON outbox.dead_letters TO outbox_operator;
GRANT INSERT ON outbox.queue, outbox.notifications TO outbox_operator;
GRANT SELECT (digest), UPDATE (digest), DELETE ON outbox.idempotency_keys TO outbox_operator;
GRANT EXECUTE ON FUNCTION outbox.suppress, outbox.unsuppress, outbox.lift_suppression TO outbox_operator;
