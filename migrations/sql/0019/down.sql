DROP FUNCTION outbox.escalate, outbox.plan_escalation, outbox.escalation_of;
DROP TRIGGER heed_reading ON outbox.inbox;
DROP FUNCTION outbox.mark_read, outbox.heed_reading, outbox.end_needless, outbox.why_needless, outbox.needless_words;
ALTER TABLE outbox.topics DROP COLUMN escalation;
ALTER TABLE outbox.queue DROP COLUMN unless_read;
ALTER TABLE outbox.notifications DROP COLUMN unless_sent;
COMMENT ON COLUMN outbox.notifications.unless_read IS 'Not to be sent once the in-app notification of this id was read';
