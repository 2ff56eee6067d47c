DROP FUNCTION outbox.unrecognised;
DROP INDEX outbox.throttle_digests_notification;
ALTER TABLE outbox.digests DROP COLUMN expires_at;
