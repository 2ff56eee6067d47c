ALTER TABLE outbox.dead_letters DROP COLUMN expires_at, DROP COLUMN unless_read, DROP COLUMN unless_sent,
    DROP COLUMN replaced_by, DROP COLUMN discard_reason;
