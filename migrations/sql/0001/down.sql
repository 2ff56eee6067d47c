-- The schema itself stays: it holds the table of applied migrations.
DROP VIEW outbox.status;
DROP TABLE outbox.notifications, outbox.attempts, outbox.idempotency_keys, outbox.queue, outbox.workers,
           outbox.dead_letters, outbox.inbox, outbox.suppressions, outbox.limits, outbox.pauses;
DROP FUNCTION outbox.cancel, outbox.enqueue_many, outbox.enqueue, outbox.take_out_of_queue, outbox.empty_queue, outbox.refuse_update,
              outbox.put_into_queue, outbox.take_idempotency_key, outbox.digest, outbox.ensure_partitions,
              outbox.uuid7_time, outbox.uuid7_floor, outbox.uuid7;
