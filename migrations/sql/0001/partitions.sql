-- Both big tables are cut by day (UTC) at the same bounds. The DEFAULT partitions stay empty as long as this function
-- runs once in a fortnight; they exist because an application's transaction must never fail on our housekeeping.

CREATE TABLE outbox.notifications_default PARTITION OF outbox.notifications DEFAULT;
CREATE TABLE outbox.attempts_default PARTITION OF outbox.attempts DEFAULT;

-- CREATE + ATTACH instead of CREATE … PARTITION OF: the latter takes ACCESS EXCLUSIVE on the parent, this only
-- SHARE UPDATE EXCLUSIVE, so that enqueues go on meanwhile. It does take ACCESS EXCLUSIVE on the DEFAULT partition, which
-- every query of the parent locks too: call it with a lock_timeout, or all claims queue up behind it and a long reader.
CREATE FUNCTION outbox.ensure_partitions(days integer DEFAULT 14) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today  date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    day    date;
    parent text;
    part   text;
    made   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7306076014);  -- two at once would both create the same table
    FOR day IN SELECT today + n FROM generate_series(0, days) AS n LOOP
        FOREACH parent IN ARRAY ARRAY['notifications', 'attempts'] LOOP
            part := parent || to_char(day, '_YYYYMMDD');
            CONTINUE WHEN to_regclass('outbox.' || part) IS NOT NULL;
            BEGIN
                EXECUTE format('CREATE TABLE outbox.%I (LIKE outbox.%I INCLUDING ALL)', part, parent);
                EXECUTE format('ALTER TABLE outbox.%I ATTACH PARTITION outbox.%I FOR VALUES FROM (%L) TO (%L)', parent, part,
                               outbox.uuid7_floor(day::timestamp AT TIME ZONE 'UTC'),
                               outbox.uuid7_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
                made := made + 1;
            EXCEPTION WHEN check_violation THEN
                -- Rows of that day are in the DEFAULT partition already: they are served from there all the same.
                RAISE WARNING 'outbox.% already holds rows of %, so that day gets no partition of its own', parent || '_default', day;
            END;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

SELECT outbox.ensure_partitions();
