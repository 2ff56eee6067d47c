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

COMMENT ON COLUMN outbox.attempts.error_class IS 'unreachable, rejected, misconfigured, throttled, temporary, unrecognised or ambiguous';
COMMENT ON COLUMN outbox.dead_letters.reason IS 'Why it ended here: rejected, unreachable, exhausted, too_old, in_doubt or poison';
UPDATE outbox.dead_letters SET reason = 'in_doubt' WHERE reason = 'ambiguous';
