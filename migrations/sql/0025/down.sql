DROP TRIGGER pauses_tell ON outbox.pauses;
DROP FUNCTION outbox.tell_of_pauses;
ALTER TABLE outbox.workers DROP COLUMN providers;
DELETE FROM outbox.pauses;  -- nobody heeds them there
ALTER TABLE outbox.pauses
    DROP COLUMN paused_by,
    DROP CONSTRAINT pauses_until_is_a_moment,
    DROP CONSTRAINT pauses_name_is_one,
    DROP CONSTRAINT pauses_reason_is_short,
    ALTER COLUMN reason SET NOT NULL;
COMMENT ON TABLE outbox.pauses IS 'Channels and providers that are held';
COMMENT ON COLUMN outbox.pauses.until IS 'Until when; empty means until somebody resumes it';
COMMENT ON COLUMN outbox.pauses.reason IS 'Why';
