-- Suppressions are added and lifted by functions, so that an application does it in a transaction of its own, in any language.

-- Which topics are transactional, by the configuration of the workers that last started: an unsubscription does not keep
-- them back. Claims know it from their own worker; this is for those who add a suppression, and know no configuration.
CREATE TABLE outbox.topics (
    said_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    transactional boolean     NOT NULL,
    name          text        NOT NULL,
    CONSTRAINT topics_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE outbox.topics IS 'The topics of [topics] in the configuration, as a worker said when it started';
COMMENT ON COLUMN outbox.topics.said_at IS 'When it was last said';
COMMENT ON COLUMN outbox.topics.transactional IS 'Whether it is sent to people who have unsubscribed';
COMMENT ON COLUMN outbox.topics.name IS 'The topic, as notifications have it';

UPDATE outbox.suppressions SET reason = 'hard_bounce' WHERE reason = 'unreachable';
UPDATE outbox.suppressions SET reason = 'stop' WHERE reason = 'opted out';
COMMENT ON COLUMN outbox.suppressions.reason IS 'Why: stop, hard_bounce, complaint, manual, unsubscribed, or a word of your own';

-- Of two reasons for one suppression the stronger stays. A person's choice is the weakest, and the only one that transactional
-- topics override.
CREATE FUNCTION outbox.reason_strength(reason text) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE reason WHEN 'stop' THEN 5 WHEN 'hard_bounce' THEN 4 WHEN 'complaint' THEN 3 WHEN 'manual' THEN 2
                       WHEN 'unsubscribed' THEN 0 ELSE 1 END;
COMMENT ON FUNCTION outbox.reason_strength IS 'How strong a reason for a suppression is: a weaker one does not take its place';

-- Of two suppressions with one key the stronger reason stays, and the longer time. One whose time was over at the moment
-- does not count.
CREATE FUNCTION outbox.kept_suppression(old outbox.suppressions, new outbox.suppressions, moment timestamptz)
    RETURNS TABLE (created_at timestamptz, until timestamptz, reason text, source text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN over THEN (new).created_at ELSE (old).created_at END,
           CASE WHEN over THEN (new).until
                WHEN num_nulls((old).until, (new).until) = 0 THEN greatest((old).until, (new).until) END,
           CASE WHEN over OR stronger THEN (new).reason ELSE (old).reason END,
           CASE WHEN over OR stronger THEN (new).source ELSE (old).source END
    FROM (SELECT coalesce((old).until <= moment, false) AS over,
                 (old).reason <> (new).reason
                 AND outbox.reason_strength((new).reason) >= outbox.reason_strength((old).reason) AS stronger) judged;
END;
COMMENT ON FUNCTION outbox.kept_suppression IS 'What is kept of two suppressions with one key: the stronger reason, the longer time';
