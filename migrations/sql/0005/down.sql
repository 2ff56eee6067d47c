-- A count that does not fit becomes the highest that does.
ALTER TABLE outbox.chores ALTER COLUMN failures TYPE integer USING least(failures, 2147483647);
