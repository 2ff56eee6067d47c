-- What a dead letter has to know to be enqueued anew as it was, what was enqueued in its place, and why it was discarded.
-- Nullable and without a default: PostgreSQL notes them in its catalogue, and touches no row.
ALTER TABLE outbox.dead_letters ADD COLUMN expires_at timestamptz, ADD COLUMN unless_read uuid, ADD COLUMN unless_sent uuid,
    ADD COLUMN replaced_by uuid, ADD COLUMN discard_reason text,
    ADD CONSTRAINT dead_letters_discard_reason_is_short CHECK (length(discard_reason) <= 1000);
CREATE INDEX dead_letters_replaced_by ON outbox.dead_letters (replaced_by) WHERE replaced_by IS NOT NULL;
COMMENT ON COLUMN outbox.dead_letters.expires_at IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.unless_read IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.unless_sent IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.replaced_by IS 'The notification that was enqueued in its place: edited, or because retention had dropped this one';
COMMENT ON COLUMN outbox.dead_letters.discard_reason IS 'Why it was discarded, in the words of who did it';

-- Those whose notification is there still. One lookup each: a join might read every notification.
UPDATE outbox.dead_letters d
SET expires_at = n.expires_at, unless_read = n.unless_read, unless_sent = n.unless_sent
FROM outbox.dead_letters o
CROSS JOIN LATERAL (
    SELECT m.expires_at, m.unless_read, m.unless_sent FROM outbox.notifications m WHERE m.id = o.notification_id LIMIT 1
) n
WHERE d.notification_id = o.notification_id
  AND (n.expires_at IS NOT NULL OR n.unless_read IS NOT NULL OR n.unless_sent IS NOT NULL);
