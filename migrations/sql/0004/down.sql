-- Those who are blocked go their own ways.
UPDATE outbox.queue q
SET run_at = coalesce((SELECT n.run_at FROM outbox.notifications n WHERE n.id = q.id), clock_timestamp())
WHERE q.run_at = 'infinity';

DROP VIEW outbox.status;
DROP TRIGGER queue_stand_in_line ON outbox.queue;
DROP TRIGGER notifications_take_keys_together ON outbox.notifications;
DROP TRIGGER notifications_take_idempotency_key ON outbox.notifications;
CREATE TRIGGER notifications_take_idempotency_key BEFORE INSERT ON outbox.notifications
    FOR EACH ROW WHEN (NEW.idempotency_key IS NOT NULL) EXECUTE FUNCTION outbox.take_idempotency_key();
DROP FUNCTION outbox.enqueue, outbox.enqueue_many, outbox.take_keys_together, outbox.stand_in_line, outbox.is_blocked,
              outbox.unblock_next;

ALTER TABLE outbox.queue DROP COLUMN ordering_key, DROP COLUMN position;
ALTER TABLE outbox.dead_letters DROP COLUMN ordering_key;
ALTER TABLE outbox.notifications DROP COLUMN ordering_key;

COMMENT ON COLUMN outbox.queue.run_at IS 'When it is next due; while leased, when the lease ends';
