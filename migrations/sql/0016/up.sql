-- Nullable and without a default: PostgreSQL notes them in its catalogue, and touches no row.
ALTER TABLE outbox.notifications ADD COLUMN time_zone text, ADD COLUMN unless_read uuid;
ALTER TABLE outbox.dead_letters ADD COLUMN time_zone text;
ALTER TABLE outbox.digests ADD COLUMN time_zone text;
COMMENT ON COLUMN outbox.notifications.time_zone IS 'Where the recipient lives, such as Europe/Berlin: by whose clocks it may be sent';
COMMENT ON COLUMN outbox.notifications.unless_read IS 'Not to be sent once the in-app notification of this id was read';
COMMENT ON COLUMN outbox.dead_letters.time_zone IS 'As enqueued';
COMMENT ON COLUMN outbox.digests.time_zone IS 'Where the recipient lives';
