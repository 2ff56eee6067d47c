-- What \d+ shows. The words about tables stand in outbox/schema/ too; a test holds the two equal.

COMMENT ON VIEW outbox.partitions IS 'The day partitions of notifications and attempts, and what retention has detached and not dropped yet';
COMMENT ON COLUMN outbox.partitions.parent IS 'notifications or attempts';
COMMENT ON COLUMN outbox.partitions.name IS 'The partition';
COMMENT ON COLUMN outbox.partitions.lowest IS 'The smallest id that lies in it; empty for the DEFAULT partition, and for what is detached';
COMMENT ON COLUMN outbox.partitions.beyond IS 'The smallest id that lies beyond it';
COMMENT ON COLUMN outbox.partitions.attached IS 'False for what retention has detached and not dropped yet';
COMMENT ON COLUMN outbox.partitions.estimated_rows IS 'About how many rows it has; -1 before autovacuum first counted them';
COMMENT ON COLUMN outbox.partitions.bytes IS 'What it takes on disk, its indexes included';

COMMENT ON TABLE outbox.erasures IS 'What remains of erased notifications: how many there were, by day, channel and state';
COMMENT ON COLUMN outbox.erasures.id IS 'In the order in which they were erased';
COMMENT ON COLUMN outbox.erasures.erased_at IS 'When they were erased';
COMMENT ON COLUMN outbox.erasures.notifications IS 'How many';
COMMENT ON COLUMN outbox.erasures.day IS 'On which day (UTC) they were enqueued';
COMMENT ON COLUMN outbox.erasures.channel IS 'As enqueued';
COMMENT ON COLUMN outbox.erasures.state IS 'As in the view status, when they were erased; cancelled for what still waited';

COMMENT ON TABLE outbox.erased_keys IS 'Digests of erased idempotency keys: they still refuse a second notification';
COMMENT ON COLUMN outbox.erased_keys.created_at IS 'When the key was taken';
COMMENT ON COLUMN outbox.erased_keys.notification_id IS 'The notification that the key stood for';
COMMENT ON COLUMN outbox.erased_keys.digest IS 'SHA-256 of channel:key';

COMMENT ON FUNCTION outbox.detach_expired_partition IS 'Takes a partition older than so many days out of its table, unless the queue refers to it: detached, held, busy or gone';
COMMENT ON FUNCTION outbox.is_needed IS 'Whether work of these ids remains, or, for attempts, their notifications do';
COMMENT ON FUNCTION outbox.drop_detached_partition IS 'Drops a partition that detach_expired_partition has taken out';
COMMENT ON FUNCTION outbox.delete_expired IS 'Deletes a batch of what is older than so many days: notifications and attempts of the DEFAULT partitions, resolved dead letters, open dead letters, erased keys';
COMMENT ON FUNCTION outbox.delete_expired_keys IS 'Deletes a batch of idempotency keys older than so many days, from a page of the table on';
COMMENT ON FUNCTION outbox.erase IS 'Erases one person''s data in the current transaction, and counts it; suppressions stay unless they are asked for';
COMMENT ON FUNCTION outbox.erase_notifications IS 'Erases one person''s notifications, enqueued from one moment to another or ever, with all that was copied from them';
COMMENT ON FUNCTION outbox.erase_keys IS 'Erases the idempotency keys that name a person, and whose notifications are gone, from a page of the table on';
COMMENT ON FUNCTION outbox.erase_suppressions IS 'Removes a person''s suppressions: they may be contacted again';
COMMENT ON FUNCTION outbox.bury_keys IS 'Replaces idempotency keys by their digests';
COMMENT ON FUNCTION outbox.is_of IS 'Whether a recipient on a channel is the one that was asked for';
COMMENT ON FUNCTION outbox.key_digest IS 'What is kept of an erased idempotency key';
COMMENT ON FUNCTION outbox.was_erased IS 'Whether an idempotency key that was just taken is an erased one';
COMMENT ON SEQUENCE outbox.erased_ever IS 'Drawn from whenever keys are erased: says that there may be erased keys';
