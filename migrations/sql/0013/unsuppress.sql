-- SELECT * FROM outbox.lift_suppression('sms', '+447700900001', sender => '+447700900999');
-- Lifts one suppression, by its whole key, unless its reason is to be spared. What was ended meanwhile stays so. `kept` are the
-- reasons for which the recipient still is not to be contacted: that one, other topics, other senders.
CREATE FUNCTION outbox.lift_suppression(
    channel text, recipient text, topic text DEFAULT NULL, sender text DEFAULT NULL, spared text[] DEFAULT '{}',
    OUT lifted text, OUT kept text[])
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    looked_up text := CASE WHEN channel = 'email' THEN lower(recipient) ELSE recipient END;
BEGIN
    DELETE FROM outbox.suppressions s
    WHERE s.channel = lift_suppression.channel AND s.recipient = looked_up
      AND s.topic = coalesce(lift_suppression.topic, '') AND s.sender = coalesce(lift_suppression.sender, '')
      AND s.reason <> ALL (spared)
    RETURNING s.reason INTO lifted;
    kept := ARRAY(
        SELECT DISTINCT s.reason FROM outbox.suppressions s
        WHERE s.channel = lift_suppression.channel AND s.recipient = looked_up
          AND (s.until IS NULL OR s.until > clock_timestamp())
        ORDER BY s.reason);
END
$$;
COMMENT ON FUNCTION outbox.lift_suppression IS 'Lifts one suppression, whatever its reason, but for those that are spared';

-- SELECT * FROM outbox.unsuppress('email', 'ada@example.org');
-- For applications: a person's own choice is taken back by the person. What a provider, the law or one of us has said is not.
CREATE FUNCTION outbox.unsuppress(
    channel text, recipient text, topic text DEFAULT NULL, sender text DEFAULT NULL, OUT lifted text, OUT kept text[])
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.lifted, l.kept
    FROM outbox.lift_suppression(unsuppress.channel, unsuppress.recipient, unsuppress.topic, unsuppress.sender,
                                 ARRAY['stop', 'hard_bounce', 'complaint', 'manual']) l
$$;
COMMENT ON FUNCTION outbox.unsuppress IS 'Lifts one suppression, if its reason is unsubscribed or a word of your own';
