-- First, while nothing is locked that a claim reads.
UPDATE outbox.dead_letters SET reason = 'in_doubt' WHERE reason = 'ambiguous';

-- A suppression may bind one sender of ours only: STOP to a number of ours, under the rules of mobile networks, says
-- nothing about our others.
ALTER TABLE outbox.suppressions ADD COLUMN sender text NOT NULL DEFAULT '';
ALTER TABLE outbox.suppressions DROP CONSTRAINT suppressions_pkey;
ALTER TABLE outbox.suppressions ADD CONSTRAINT suppressions_pkey PRIMARY KEY (channel, recipient, topic, sender);
COMMENT ON COLUMN outbox.suppressions.sender IS 'Only from this sender of ours; empty means from any';

-- What a person sees is ordered by when it came, not by when it was enqueued: a scheduled one is new when it is due.
ALTER TABLE outbox.inbox ADD COLUMN url text, ADD COLUMN category text NOT NULL DEFAULT '';
COMMENT ON COLUMN outbox.inbox.url IS 'Where it leads';
COMMENT ON COLUMN outbox.inbox.category IS 'What kind it is, for the application';
DROP INDEX outbox.inbox_of_recipient;
CREATE INDEX inbox_of_recipient ON outbox.inbox (recipient, created_at DESC, notification_id DESC);
CREATE INDEX inbox_unread ON outbox.inbox (recipient) WHERE read_at IS NULL;

-- An application that shows inboxes listens on one name, and is told whose has something new; a recipient has 4,096
-- bytes at most, and a notification 7,999.
CREATE FUNCTION outbox.tell_of_arrivals() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('outbox_inbox', arrived.recipient) FROM (SELECT DISTINCT recipient FROM arrivals) arrived;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION outbox.tell_of_arrivals IS 'Notifies outbox_inbox of the recipients of what was just put into inboxes';
REVOKE EXECUTE ON FUNCTION outbox.tell_of_arrivals FROM PUBLIC;
CREATE TRIGGER tell_of_arrivals AFTER INSERT ON outbox.inbox
    REFERENCING NEW TABLE AS arrivals FOR EACH STATEMENT EXECUTE FUNCTION outbox.tell_of_arrivals();

COMMENT ON COLUMN outbox.attempts.error_class IS 'unreachable, rejected, misconfigured, throttled, temporary, unrecognised or ambiguous';
COMMENT ON COLUMN outbox.dead_letters.reason IS 'Why it ended here: rejected, unreachable, exhausted, too_old, in_doubt or poison';

-- What a claim after the first has to know. In functions, because in the claim itself each would make every claim, an
-- empty one too, begin with a look at every partition of attempts.
CREATE FUNCTION outbox.sent_by(id uuid) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT a.claim FROM outbox.attempts a WHERE a.notification_id = sent_by.id AND a.outcome = 'sent' LIMIT 1);
END
$$;

CREATE FUNCTION outbox.in_doubt(id uuid, since timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT a.provider FROM outbox.attempts a
        WHERE a.notification_id = in_doubt.id AND a.outcome = 'ambiguous' AND a.finished_at > coalesce(since, '-infinity')
        ORDER BY a.claim DESC LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION outbox.sent_by IS 'The claim of a notification that is recorded as sent, if one is';
COMMENT ON FUNCTION outbox.in_doubt IS 'The provider that may have accepted a notification, since a moment, in an attempt that nobody knows the end of';

-- Workers have to write what they did not before; whoever may write attempts is a worker.
DO $$
DECLARE
    worker oid;
BEGIN
    FOR worker IN
        SELECT DISTINCT a.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'outbox.attempts'::regclass AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON outbox.suppressions, outbox.limits TO %s', worker::regrole);
        EXECUTE format('GRANT SELECT, INSERT ON outbox.inbox TO %s', worker::regrole);
    END LOOP;
END
$$;
