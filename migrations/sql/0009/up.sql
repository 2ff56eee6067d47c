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
UPDATE outbox.dead_letters SET reason = 'in_doubt' WHERE reason = 'ambiguous';
