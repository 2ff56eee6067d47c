-- A schedule enqueues what a query returns, at each occurrence of a cron expression, once: the primary key of
-- schedule_runs says so, whoever runs it and however often.

CREATE TABLE outbox.schedules (
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at     timestamptz NOT NULL,
    retry_at    timestamptz,
    paused_at   timestamptz,
    timeout     interval    NOT NULL DEFAULT '1 minute',
    failures    bigint      NOT NULL DEFAULT 0,
    name        text        NOT NULL,
    cron        text        NOT NULL,
    time_zone   text        NOT NULL DEFAULT 'UTC',
    missed      text        NOT NULL DEFAULT 'once',
    query       text        NOT NULL,
    columns     text[]      NOT NULL,
    defaults    jsonb       NOT NULL DEFAULT '{}',
    search_path text        NOT NULL DEFAULT '',
    problem     text,
    CONSTRAINT schedules_pkey PRIMARY KEY (name),
    CONSTRAINT schedules_name_is_a_name CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$' AND length(name) <= 63),
    CONSTRAINT schedules_missed_is_known CHECK (missed IN ('skip', 'once', 'all')),
    CONSTRAINT schedules_timeout_is_bounded CHECK (timeout BETWEEN interval '1 ms' AND interval '1 day'),
    CONSTRAINT schedules_defaults_are_an_object CHECK (jsonb_typeof(defaults) = 'object')
);

CREATE TABLE outbox.schedule_runs (
    occurrence timestamptz      NOT NULL,
    ran_at     timestamptz      NOT NULL DEFAULT clock_timestamp(),
    seconds    double precision,
    enqueued   bigint,
    failures   bigint           NOT NULL DEFAULT 0,
    schedule   text             NOT NULL,
    ran_by     text             NOT NULL,
    error      text,
    CONSTRAINT schedule_runs_pkey PRIMARY KEY (schedule, occurrence),
    CONSTRAINT schedule_runs_schedule_fkey FOREIGN KEY (schedule) REFERENCES outbox.schedules (name) ON DELETE CASCADE,
    CONSTRAINT schedule_runs_enqueued_or_failed CHECK ((enqueued IS NULL) = (error IS NOT NULL))
);

COMMENT ON TABLE outbox.schedules IS 'What is enqueued again and again: a query, and when it comes due';
COMMENT ON COLUMN outbox.schedules.created_at IS 'When it was added';
COMMENT ON COLUMN outbox.schedules.next_at IS 'The occurrence that is run next';
COMMENT ON COLUMN outbox.schedules.retry_at IS 'Not before this moment, because it failed';
COMMENT ON COLUMN outbox.schedules.paused_at IS 'Since when it is paused; empty when it is not';
COMMENT ON COLUMN outbox.schedules.timeout IS 'A run that takes longer is undone, and has failed';
COMMENT ON COLUMN outbox.schedules.failures IS 'How often in a row it has failed';
COMMENT ON COLUMN outbox.schedules.name IS 'Its name';
COMMENT ON COLUMN outbox.schedules.cron IS 'When: minute, hour, day of month, month, day of week, as cron has them';
COMMENT ON COLUMN outbox.schedules.time_zone IS 'By whose clocks; also the time zone that the query runs in';
COMMENT ON COLUMN outbox.schedules.missed IS 'Of occurrences that were missed: skip runs none, once the latest, all each of them';
COMMENT ON COLUMN outbox.schedules.query IS 'A SELECT; each row it returns is a notification';
COMMENT ON COLUMN outbox.schedules.columns IS 'The columns that it returns, which are fields of a notification';
COMMENT ON COLUMN outbox.schedules.defaults IS 'Fields that it does not return, the same for each notification';
COMMENT ON COLUMN outbox.schedules.search_path IS 'Where the query finds its tables: the search path of whoever added it';
COMMENT ON COLUMN outbox.schedules.problem IS 'Why it failed last; empty when it did not';
COMMENT ON TABLE outbox.schedule_runs IS 'What became of each occurrence: the unique constraint that makes it run once';
COMMENT ON COLUMN outbox.schedule_runs.occurrence IS 'When it was due; when it was asked for, if somebody ran it by hand';
COMMENT ON COLUMN outbox.schedule_runs.ran_at IS 'When it was done, or failed last';
COMMENT ON COLUMN outbox.schedule_runs.seconds IS 'How long it took; empty while it has failed';
COMMENT ON COLUMN outbox.schedule_runs.enqueued IS 'How many notifications it enqueued; empty while it has failed';
COMMENT ON COLUMN outbox.schedule_runs.failures IS 'How often it failed before';
COMMENT ON COLUMN outbox.schedule_runs.schedule IS 'The schedule';
COMMENT ON COLUMN outbox.schedule_runs.ran_by IS 'The worker''s process, as host:pid; of a run by hand, the role';
COMMENT ON COLUMN outbox.schedule_runs.error IS 'Why it failed last; empty when it is done';

-- Workers sleep until the next occurrence that they know of.
CREATE FUNCTION outbox.tell_of_schedules() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('outbox', '*schedules');  -- no channel begins with a star
    RETURN NULL;
END
$$;
CREATE TRIGGER schedules_tell AFTER INSERT OR UPDATE OF cron, time_zone, paused_at ON outbox.schedules
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.tell_of_schedules();
COMMENT ON FUNCTION outbox.tell_of_schedules IS 'Wakes workers when there is another schedule';

-- The query is one SELECT that is complete by itself, as check_schedule() has seen to, and stays one in parentheses. It may
-- end in a comment, hence the new line.
CREATE FUNCTION outbox.schedule_statement(query text, columns text[], defaults jsonb) RETURNS text
    LANGUAGE sql STABLE
    RETURN (
        SELECT format('INSERT INTO outbox.notifications (%s) SELECT %s FROM (%s' || chr(10) || ') AS q',
                      string_agg(quote_ident(f.name), ', '), string_agg(f.value, ', '), schedule_statement.query)
        FROM (
            SELECT c.name, 'q.' || quote_ident(c.name) FROM unnest(schedule_statement.columns) AS c (name)
            UNION ALL
            SELECT d.key, quote_literal(d.value) FROM jsonb_each_text(schedule_statement.defaults) d
            WHERE d.key <> ALL (schedule_statement.columns)
        ) AS f (name, value)
    );
COMMENT ON FUNCTION outbox.schedule_statement IS 'The statement that enqueues what a query returns';

-- Finds the columns of a query, and what is wrong with it, without running it: nothing is fetched, nothing can be written,
-- and whatever it does is undone. An error is reported, not raised, so that the caller's transaction stays usable. A
-- cursor is opened for one statement that returns rows, and no other.
CREATE FUNCTION outbox.check_schedule(
    query text, defaults jsonb, time_zone text, schemas text[],
    OUT columns text[], OUT search_path text, OUT problem text, OUT code text)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET TimeZone = 'UTC'
AS $$
DECLARE
    opened refcursor;
BEGIN
    SELECT coalesce(string_agg(quote_ident(s.name), ', ' ORDER BY s.place), '') INTO search_path
    FROM unnest(schemas) WITH ORDINALITY AS s (name, place);
    PERFORM set_config('transaction_read_only', 'on', true);
    PERFORM set_config('TimeZone', check_schedule.time_zone, true);
    PERFORM set_config('outbox.occurrence', clock_timestamp()::text, true);
    PERFORM set_config('search_path', concat_ws(', ', nullif(check_schedule.search_path, ''), 'pg_temp'), true);
    OPEN opened FOR EXECUTE check_schedule.query;
    CLOSE opened;
    EXECUTE format('SELECT row_to_json(named) FROM (SELECT q.* FROM (SELECT) AS one LEFT JOIN (SELECT * FROM (%s' || chr(10)
                   || ') AS q LIMIT 0) AS q ON true) AS named', check_schedule.query) INTO problem;
    SELECT array_agg(k.name) INTO columns FROM json_object_keys(problem::json) AS k (name);
    problem := NULL;
    EXECUTE 'EXPLAIN ' || outbox.schedule_statement(check_schedule.query, columns, check_schedule.defaults);
    RAISE EXCEPTION USING ERRCODE = 'OB000';  -- undoes the settings
EXCEPTION
    WHEN SQLSTATE 'OB000' THEN RETURN;
    WHEN OTHERS THEN GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, code = RETURNED_SQLSTATE;
END
$$;
COMMENT ON FUNCTION outbox.check_schedule IS 'The columns of a query that a schedule is to have, or what is wrong with it';

-- Runs one occurrence, in the caller's transaction and with the caller's rights. Whoever comes second, waits for the first,
-- and is told false; so is whoever comes when it is done. The query finds its tables where it found them when it was added,
-- its dates are those of the schedule's time zone, and outbox.occurrence says which occurrence it is.
CREATE FUNCTION outbox.run_schedule(name text, occurrence timestamptz, ran_by text, OUT ran boolean, OUT enqueued bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET TimeZone = 'UTC'
AS $$
DECLARE
    schedule outbox.schedules;
    began_at timestamptz := clock_timestamp();
    of_run   jsonb;
BEGIN
    SELECT * INTO schedule FROM outbox.schedules s WHERE s.name = run_schedule.name;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO outbox.schedule_runs AS r (schedule, occurrence, ran_by, enqueued)
    VALUES (run_schedule.name, run_schedule.occurrence, run_schedule.ran_by, 0)
    ON CONFLICT ON CONSTRAINT schedule_runs_pkey DO UPDATE
    SET ran_by = EXCLUDED.ran_by, enqueued = 0, error = NULL WHERE r.error IS NOT NULL;
    ran := FOUND;
    IF NOT ran THEN
        RETURN;
    END IF;
    of_run := jsonb_build_object('group_key', concat_ws(':', 'schedule', run_schedule.name,
        to_char(run_schedule.occurrence, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
    PERFORM set_config('outbox.occurrence', run_schedule.occurrence::text, true);
    PERFORM set_config('TimeZone', schedule.time_zone, true);
    PERFORM set_config('search_path', concat_ws(', ', nullif(schedule.search_path, ''), 'pg_temp'), true);
    EXECUTE outbox.schedule_statement(schedule.query, schedule.columns, of_run || schedule.defaults);
    GET DIAGNOSTICS enqueued = ROW_COUNT;
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    UPDATE outbox.schedule_runs r
    SET enqueued = run_schedule.enqueued, ran_at = clock_timestamp(), seconds = date_part('epoch', clock_timestamp() - began_at)
    WHERE r.schedule = run_schedule.name AND r.occurrence = run_schedule.occurrence;
END
$$;
COMMENT ON FUNCTION outbox.run_schedule IS 'Enqueues what a schedule''s query returns for one occurrence, unless that is done';

REVOKE EXECUTE ON FUNCTION outbox.tell_of_schedules, outbox.schedule_statement, outbox.check_schedule, outbox.run_schedule FROM PUBLIC;

-- Workers run schedules, and make none; whoever may write attempts is a worker. That they may enqueue is granted by hand.
DO $$
DECLARE
    worker oid;
BEGIN
    FOR worker IN
        SELECT DISTINCT a.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'outbox.attempts'::regclass AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT SELECT, UPDATE (next_at, retry_at, failures, problem) ON outbox.schedules TO %s', worker::regrole);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON outbox.schedule_runs TO %s', worker::regrole);
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.run_schedule, outbox.schedule_statement TO %s', worker::regrole);
    END LOOP;
END
$$;
