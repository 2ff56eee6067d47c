-- What was enqueued in the place of a dead letter, edited or anew, stands for it, and so does what was enqueued in the
-- place of that. One look at dead_letters where there is no such thing.
CREATE FUNCTION outbox.line_of(id uuid) RETURNS uuid[]
    LANGUAGE plpgsql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    line   uuid[] := ARRAY[id];
    latest uuid := id;
BEGIN
    LOOP
        latest := (SELECT d.replaced_by FROM outbox.dead_letters d WHERE d.notification_id = latest);
        EXIT WHEN latest IS NULL OR latest = ANY (line);
        line := line || latest;
    END LOOP;
    RETURN line;
END
$$;
COMMENT ON FUNCTION outbox.line_of IS 'A notification, and what was enqueued in its place when it was a dead letter, one after another';
CREATE FUNCTION outbox.latest_of(id uuid) RETURNS uuid
    LANGUAGE plpgsql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    latest uuid;
    later  uuid := id;
BEGIN
    WHILE later IS NOT NULL LOOP
        latest := later;
        later := (SELECT d.replaced_by FROM outbox.dead_letters d WHERE d.notification_id = latest);
    END LOOP;
    RETURN latest;
END
$$;
COMMENT ON FUNCTION outbox.latest_of IS 'What stands for a notification now: itself, or what was enqueued in its place last';
