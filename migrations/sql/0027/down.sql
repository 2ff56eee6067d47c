ALTER TABLE outbox.notifications DROP COLUMN trace;
COMMENT ON COLUMN outbox.notifications.headers IS 'Headers of the message (List-Unsubscribe) and trace context';
