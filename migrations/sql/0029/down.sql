DROP TRIGGER pauses_remember ON outbox.pauses;
DROP FUNCTION outbox.remember_pause;
ALTER TABLE outbox.pauses DROP COLUMN earlier;
