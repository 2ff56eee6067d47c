DROP TRIGGER notifications_take_idempotency_key ON outbox.notifications;
CREATE TRIGGER notifications_take_idempotency_key BEFORE INSERT ON outbox.notifications
    FOR EACH ROW WHEN (NEW.idempotency_key IS NOT NULL) EXECUTE FUNCTION outbox.take_idempotency_key();
COMMENT ON FUNCTION outbox.take_idempotency_key IS 'Takes the idempotency key of a row about to be inserted; skips a duplicate';
COMMENT ON FUNCTION outbox.erase_suppressions IS 'Removes a person''s suppressions: they may be contacted again';

-- Whoever said no is kept from being contacted all the same, as far as this version knows topics.
INSERT INTO outbox.suppressions (created_at, channel, recipient, topic, reason, source)
SELECT p.updated_at, p.channel, p.recipient, p.topic, 'unsubscribed', p.source
FROM outbox.preferences p WHERE NOT p.wanted
ORDER BY p.channel, p.recipient, p.topic
ON CONFLICT DO NOTHING;

DROP FUNCTION outbox.unwanted, outbox.anybody_chooses, outbox.preferences_of, outbox.clear_preference, outbox.set_preference, outbox.set_preferences,
              outbox.end_unwanted, outbox.refuse_preference, outbox.refuse_topic, outbox.takes_topic, outbox.heed_topic;
DROP TABLE outbox.preferences;
ALTER TABLE outbox.topics
    DROP CONSTRAINT topics_everybody_or_those_who_want_it, DROP CONSTRAINT topics_have_a_channel,
    DROP COLUMN opt_in, DROP COLUMN channels, DROP COLUMN delivery, DROP COLUMN expires;
COMMENT ON TABLE outbox.topics IS 'The topics of [topics] in the configuration, as a worker said when it started';
