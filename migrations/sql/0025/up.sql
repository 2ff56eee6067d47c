-- Pausing channels and providers. A row stays when it is over, as the last pause that there was: so pauses are never many.
ALTER TABLE outbox.pauses
    ADD COLUMN paused_by text NOT NULL DEFAULT session_user,
    ALTER COLUMN reason DROP NOT NULL,
    ADD CONSTRAINT pauses_until_is_a_moment CHECK (until < '9999-01-01 00:00+00'),
    ADD CONSTRAINT pauses_name_is_one CHECK (length(name) BETWEEN 1 AND 190),
    ADD CONSTRAINT pauses_by_is_named CHECK (length(paused_by) BETWEEN 1 AND 200),
    ADD CONSTRAINT pauses_reason_is_short CHECK (length(reason) <= 1000);
COMMENT ON TABLE outbox.pauses IS 'Channels and providers that are paused, and the last pause of those that were';
COMMENT ON COLUMN outbox.pauses.until IS 'Until when; empty means until somebody resumes it, which writes it down here';
COMMENT ON COLUMN outbox.pauses.reason IS 'Why, in their words';
COMMENT ON COLUMN outbox.pauses.paused_by IS 'Who, as the program knows them: who is signed in to the dashboard, or to the machine';

-- What can be paused is what somebody sends through.
ALTER TABLE outbox.workers ADD COLUMN providers text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN outbox.workers.providers IS 'The providers it sends through';

-- Workers look once a second; they are told at once.
CREATE FUNCTION outbox.tell_of_pauses() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('outbox', '*pauses');  -- no channel begins with a star
    RETURN NULL;
END
$$;
CREATE TRIGGER pauses_tell AFTER INSERT OR UPDATE OR DELETE ON outbox.pauses
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.tell_of_pauses();
REVOKE EXECUTE ON FUNCTION outbox.tell_of_pauses FROM PUBLIC;
COMMENT ON FUNCTION outbox.tell_of_pauses IS 'Trigger: wakes workers when something is paused or resumed';

DO $$
DECLARE
    worker oid;
BEGIN
    FOR worker IN
        SELECT DISTINCT a.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'outbox.workers'::regclass AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT SELECT ON outbox.pauses TO %s', worker::regrole);
    END LOOP;
END
$$;
