DROP INDEX outbox.attempts_finished;
ALTER TABLE outbox.workers DROP COLUMN report;
DROP TABLE outbox.samples, outbox.gauges, outbox.depths;
