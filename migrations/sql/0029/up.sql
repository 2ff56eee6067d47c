-- A pause that begins anew remembers the one before it: the time in which nothing could be sent makes nothing too old,
-- in however many pieces it was. By a trigger, so that plain SQL remembers as well.
ALTER TABLE outbox.pauses ADD COLUMN earlier tstzmultirange NOT NULL DEFAULT '{}';
COMMENT ON COLUMN outbox.pauses.earlier IS 'When it was paused before, in the ninety days before this pause began';
CREATE FUNCTION outbox.remember_pause() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was_over timestamptz := greatest(OLD.paused_at, least(OLD.until, NEW.paused_at));  -- least() passes over NULL
BEGIN
    NEW.earlier := (OLD.earlier + tstzmultirange(tstzrange(OLD.paused_at, was_over)))
                   * tstzmultirange(tstzrange(NEW.paused_at - interval '90 days', NULL));
    -- Every worker reads them each second. Beyond a hundred, the two that are nearest to each other become one.
    WHILE (SELECT count(*) > 100 FROM unnest(NEW.earlier)) LOOP
        NEW.earlier := NEW.earlier + (
            SELECT tstzmultirange(tstzrange(gap.began, gap.ended))
            FROM (SELECT upper(span.it), lead(lower(span.it)) OVER (ORDER BY span.it)
                  FROM unnest(NEW.earlier) AS span (it)) AS gap (began, ended)
            ORDER BY gap.ended - gap.began LIMIT 1
        );
    END LOOP;
    RETURN NEW;
END
$$;
CREATE TRIGGER pauses_remember BEFORE UPDATE ON outbox.pauses
    FOR EACH ROW WHEN (NEW.paused_at > OLD.paused_at) EXECUTE FUNCTION outbox.remember_pause();
REVOKE EXECUTE ON FUNCTION outbox.remember_pause FROM PUBLIC;
COMMENT ON FUNCTION outbox.remember_pause IS 'Trigger: a pause that begins anew keeps when it was paused before';
