-- As every other counter: 32 bits are nowhere enough by themselves.
ALTER TABLE outbox.chores ALTER COLUMN failures TYPE bigint;
