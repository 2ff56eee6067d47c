ALTER TABLE outbox.notifications DROP COLUMN time_zone, DROP COLUMN unless_read;
ALTER TABLE outbox.dead_letters DROP COLUMN time_zone;
ALTER TABLE outbox.digests DROP COLUMN time_zone;
