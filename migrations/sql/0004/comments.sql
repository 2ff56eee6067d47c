-- What \d+ shows. The words about tables stand in outbox/schema/ too; a test holds the two equal.

COMMENT ON COLUMN outbox.notifications.ordering_key IS 'Not claimed before the one enqueued before it with this key, on this channel, has ended';
COMMENT ON COLUMN outbox.queue.run_at IS 'When it is next due; while leased, when the lease ends; infinity while it is blocked by one ahead of it in its line';
COMMENT ON COLUMN outbox.queue.position IS 'The place in the line of its ordering key';
COMMENT ON COLUMN outbox.queue.ordering_key IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.ordering_key IS 'As enqueued';
COMMENT ON COLUMN outbox.status.state IS 'due, scheduled, blocked, leased, retrying or deferred while work remains; then sent, dead, expired, suppressed or cancelled';
COMMENT ON COLUMN outbox.status.next_due_at IS 'When it is next due, or its lease ends; while blocked, its run_at; empty when nothing remains to be done';
COMMENT ON COLUMN outbox.status.ordering_key IS 'As enqueued';

COMMENT ON SEQUENCE outbox.queue_positions IS 'The order of those with ordering keys';
COMMENT ON FUNCTION outbox.enqueue IS 'Enqueues one notification in the current transaction; a conflict of its idempotency key is reported, not raised';
COMMENT ON FUNCTION outbox.enqueue_many IS 'Enqueues many in one statement from parallel arrays; one row back for each, in order';
COMMENT ON FUNCTION outbox.take_keys_together IS 'Takes the idempotency keys of inserted notifications at once, and deletes duplicates again';
COMMENT ON FUNCTION outbox.stand_in_line IS 'Puts one with an ordering key at the end of its line; it is blocked if anybody is ahead';
COMMENT ON FUNCTION outbox.is_blocked IS 'Whether anybody is ahead of a position in a line';
COMMENT ON FUNCTION outbox.unblock_next IS 'Makes the one behind a position in a line due; whether there was one to unblock';
