-- One person, several ways: each step is a notification with a later run_at, and with the condition that it is not sent if
-- one before it was read, or was sent. No engine goes from one to the next.

CREATE FUNCTION outbox.escalation_of(topic text) RETURNS text[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.escalation FROM outbox.topics t WHERE t.name = escalation_of.topic
$$;
COMMENT ON FUNCTION outbox.escalation_of IS 'The steps that the configuration has for a topic, as a worker said when it started';

-- What `{inapp, wait 5m unless read, email}` means for these recipients, step by step. A step without a recipient has no id,
-- and the first that has one waits for nothing. "unless read" is about the in-app notification before it, or else about the
-- first step; "unless sent" is about the step before it.
CREATE FUNCTION outbox.plan_escalation(steps text[], recipients jsonb) RETURNS TABLE (
    step integer, channel text, recipient text, id uuid, after interval, unless_read uuid, unless_sent uuid)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wait   text[];
    first  uuid;
    latest uuid;
    inapp  uuid;
    reads  boolean := false;
BEGIN
    after := '0';
    FOR place IN 1 .. coalesce(cardinality(steps), 0) LOOP
        IF place % 2 = 0 THEN
            wait := regexp_match(steps[place], '^wait (.+) unless (read|sent)$');
            IF wait IS NULL OR place = cardinality(steps) THEN
                RAISE invalid_parameter_value USING
                    MESSAGE = format('%L is no wait between two channels, such as "wait 5m unless read" or "wait 5m unless sent"',
                                     steps[place]);
            END IF;
            IF latest IS NOT NULL THEN
                after := after + make_interval(secs => date_part('epoch', wait[1]::interval));
                reads := reads OR wait[2] = 'read';
            END IF;
            CONTINUE;
        END IF;
        step := place / 2 + 1;
        channel := steps[place];
        IF channel !~ '^[a-z][a-z0-9_]*$' OR channel = ANY (steps[1:place - 1]) THEN
            RAISE invalid_parameter_value USING MESSAGE = format('%L is no channel, or comes twice', channel);
        END IF;
        recipient := nullif(recipients->>channel, '');
        id := CASE WHEN recipient IS NOT NULL THEN outbox.uuid7() END;
        unless_read := CASE WHEN reads THEN coalesce(inapp, first) END;
        unless_sent := CASE WHEN wait[2] = 'sent' THEN latest END;
        RETURN NEXT;
        first := coalesce(first, id);
        latest := coalesce(id, latest);
        inapp := CASE WHEN channel = 'inapp' AND id IS NOT NULL THEN id ELSE inapp END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION outbox.plan_escalation IS 'The notifications that an escalation is made of: when each is due, and unless what';

-- SELECT * FROM outbox.escalate('{"inapp": "user:42", "email": "ada@example.org"}', 'alerts', 'alert', '{"disk": "/var"}');
-- One row for each step, in order; those for which there is no recipient have no id. An idempotency key is one for all of it:
-- where it was taken before, nothing is enqueued, and the ids are those of then.
CREATE FUNCTION outbox.escalate(
    recipients jsonb, topic text DEFAULT NULL, template text DEFAULT NULL, payload jsonb DEFAULT '{}', priority integer DEFAULT 5,
    run_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, idempotency_key text DEFAULT NULL,
    group_key text DEFAULT NULL, locale text DEFAULT NULL, headers jsonb DEFAULT NULL, delay interval DEFAULT NULL,
    expires_in interval DEFAULT NULL, time_zone text DEFAULT NULL, steps text[] DEFAULT NULL)
    RETURNS TABLE (step integer, channel text, id uuid, created boolean, conflict boolean, refused_id uuid, belongs_to text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    words  text[] := coalesce(escalate.steps, outbox.escalation_of(escalate.topic));
    plan   record;
    belong text;
    made   bigint := 0;
    taken  uuid;
BEGIN
    SELECT array_agg(p.step) AS steps, array_agg(p.channel) AS channels, array_agg(p.recipient) AS recipients,
           array_agg(p.id) AS ids, array_agg(p.after) AS afters, array_agg(p.unless_read) AS reads,
           array_agg(p.unless_sent) AS sents, count(p.id) AS wanted,
           (array_agg(p.id ORDER BY p.step) FILTER (WHERE p.id IS NOT NULL))[1]::text AS first
    INTO plan
    FROM outbox.plan_escalation(words, escalate.recipients) p;
    IF plan.wanted = 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = CASE WHEN words IS NULL THEN format('topic %L has no escalation, and no steps were given', escalate.topic)
                           ELSE format('there is a recipient for none of the steps %s', array_to_string(words, ', ')) END;
    END IF;
    belong := coalesce(escalate.group_key, 'escalation:' || CASE WHEN escalate.idempotency_key IS NULL THEN plan.first
        WHEN length(escalate.idempotency_key) > 240 THEN md5(escalate.idempotency_key) ELSE escalate.idempotency_key END);

    IF escalate.idempotency_key IS NULL OR NOT EXISTS (
        SELECT FROM outbox.idempotency_keys k WHERE k.key = escalate.idempotency_key AND k.channel = ANY (plan.channels))
    THEN
        PERFORM set_config('outbox.on_conflict', 'report', true);
        WITH inserted AS (
            INSERT INTO outbox.notifications
                (id, created_at, run_at, expires_at, priority, channel, recipient, template, locale, payload, headers, topic,
                 group_key, idempotency_key, time_zone, unless_read, unless_sent)
            SELECT p.id, moment, coalesce(escalate.run_at, moment + coalesce(escalate.delay, interval '0')) + p.after,
                   coalesce(escalate.expires_at, moment + escalate.expires_in), escalate.priority, p.channel, p.recipient,
                   escalate.template, escalate.locale, coalesce(escalate.payload, '{}'), escalate.headers, escalate.topic,
                   belong, escalate.idempotency_key, escalate.time_zone, p.unless_read, p.unless_sent
            FROM unnest(plan.channels, plan.recipients, plan.ids, plan.afters, plan.reads, plan.sents)
                 AS p (channel, recipient, id, after, unless_read, unless_sent)
            WHERE p.id IS NOT NULL
            ORDER BY p.channel COLLATE "C"  -- so the keys are taken in one order
            RETURNING 1
        )
        SELECT count(*) INTO made FROM inserted;
        PERFORM set_config('outbox.on_conflict', '', true);
        IF made NOT IN (0, plan.wanted) THEN
            RAISE unique_violation USING MESSAGE = format('idempotency key %L was taken on one of the channels, and not on all of them',
                escalate.idempotency_key), CONSTRAINT = 'idempotency_keys_pkey', TABLE = 'idempotency_keys', SCHEMA = 'outbox';
        END IF;
    END IF;

    SELECT k.notification_id INTO taken FROM outbox.idempotency_keys k
    WHERE made = 0 AND k.key = escalate.idempotency_key AND k.channel = ANY (plan.channels)
    ORDER BY array_position(plan.channels, k.channel) LIMIT 1;
    RETURN QUERY
    SELECT p.step, p.channel, CASE WHEN made > 0 OR p.id IS NULL THEN p.id ELSE coalesce(k.notification_id, taken) END, made > 0,
           d.differs, CASE WHEN d.differs THEN p.id END, belong
    FROM unnest(plan.steps, plan.channels, plan.recipients, plan.ids) AS p (step, channel, recipient, id)
    LEFT JOIN outbox.idempotency_keys k ON made = 0 AND k.key = escalate.idempotency_key AND k.channel = p.channel
    CROSS JOIN LATERAL (
        SELECT made = 0 AND p.id IS NOT NULL
               AND k.digest IS DISTINCT FROM outbox.digest(p.recipient, escalate.template, escalate.locale,
                                                           coalesce(escalate.payload, '{}'), escalate.headers, escalate.topic, belong)
               AS differs
    ) d
    ORDER BY p.step;
END
$$;
COMMENT ON FUNCTION outbox.escalate IS 'Enqueues what tells one person in several ways, one after another; returns what it made, step by step';

REVOKE EXECUTE ON FUNCTION outbox.escalation_of, outbox.plan_escalation, outbox.escalate FROM PUBLIC;

-- Whoever may enqueue may do it here; why_needless() is the claim's, and has its caller's rights.
DO $$
DECLARE
    other oid;
BEGIN
    FOR other IN
        SELECT DISTINCT a.grantee FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
        WHERE p.oid = 'outbox.enqueue'::regproc AND a.privilege_type = 'EXECUTE' AND a.grantee NOT IN (0, p.proowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.escalate, outbox.escalation_of TO %s', other::regrole);
    END LOOP;
END
$$;
