-- Who did what to the outbox, and when: what people do by hand is written down in the transaction that does it.
CREATE TABLE outbox.audit (
    id       bigint      GENERATED ALWAYS AS IDENTITY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor    text        NOT NULL,
    login    text        NOT NULL DEFAULT session_user,
    action   text        NOT NULL,
    subject  text        NOT NULL,
    reason   text,
    details  jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT audit_pkey PRIMARY KEY (id),
    CONSTRAINT audit_actor_is_named CHECK (length(actor) BETWEEN 1 AND 200),
    CONSTRAINT audit_action_is_a_word CHECK (action ~ '^[a-z][a-z_]*$' AND length(action) <= 63),
    CONSTRAINT audit_subject_is_named CHECK (length(subject) BETWEEN 1 AND 200),
    CONSTRAINT audit_reason_is_short CHECK (length(reason) <= 1000),
    CONSTRAINT audit_details_are_few CHECK (jsonb_typeof(details) = 'object' AND octet_length(details::text) <= 10000)
);
CREATE INDEX audit_of_subject ON outbox.audit (subject, id);
COMMENT ON TABLE outbox.audit IS 'What people did by hand: who, when, what to, and why. Nothing of a message or of whom it was for';
COMMENT ON COLUMN outbox.audit.id IS 'In the order in which it was written';
COMMENT ON COLUMN outbox.audit.at IS 'When';
COMMENT ON COLUMN outbox.audit.actor IS 'Who, as the program knows them: who is signed in to the dashboard, or to the machine';
COMMENT ON COLUMN outbox.audit.login IS 'The login of the database that it was done with';
COMMENT ON COLUMN outbox.audit.action IS 'What was done, as the command is called: pause, resume, replay, discard, …';
COMMENT ON COLUMN outbox.audit.subject IS 'What it was done to: channel:email, provider:relay, an id, a filter';
COMMENT ON COLUMN outbox.audit.reason IS 'Why, in their words';
COMMENT ON COLUMN outbox.audit.details IS 'Counts and settings';

-- A history that can be changed proves nothing. What has to go, for a law's sake, goes by hand of whoever may drop this.
CREATE FUNCTION outbox.refuse_rewriting() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'outbox.audit is written once: nothing in it is changed or deleted' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER written_once BEFORE UPDATE ON outbox.audit FOR EACH ROW EXECUTE FUNCTION outbox.refuse_rewriting();
CREATE TRIGGER deleted_never BEFORE DELETE ON outbox.audit FOR EACH ROW EXECUTE FUNCTION outbox.refuse_rewriting();
REVOKE EXECUTE ON FUNCTION outbox.refuse_rewriting FROM PUBLIC;
COMMENT ON FUNCTION outbox.refuse_rewriting IS 'Trigger: the audit is written once';
