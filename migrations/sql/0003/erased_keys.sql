-- An erased notification's idempotency key may name the person, and must refuse a second notification all the same: its
-- digest does.
CREATE TABLE outbox.erased_keys (
    created_at      timestamptz NOT NULL,
    notification_id uuid        NOT NULL,
    digest          bytea       NOT NULL,
    CONSTRAINT erased_keys_pkey PRIMARY KEY (digest)
);

-- STABLE, as convert_to() is, or it would not be inlined.
CREATE FUNCTION outbox.key_digest(channel text, key text) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN sha256(convert_to(channel || ':' || key, 'UTF8'));

-- Whether anybody was ever erased, which is the case once this was drawn from. A sequence, since that is seen at once by
-- all, before the erasure commits, and costs an enqueue a fifth of a microsecond; a look at an empty table costs two.
CREATE SEQUENCE outbox.erased_ever;

CREATE OR REPLACE FUNCTION outbox.take_idempotency_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    content bytea := outbox.digest(NEW.recipient, NEW.template, NEW.locale, NEW.payload, NEW.headers, NEW.topic, NEW.group_key);
    taken   record;
BEGIN
    LOOP
        INSERT INTO outbox.idempotency_keys (notification_id, channel, key, digest)
        VALUES (NEW.id, NEW.channel, NEW.idempotency_key, content)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            -- After the taking, which may have waited for the very erasure.
            IF pg_sequence_last_value('outbox.erased_ever'::regclass) IS NOT NULL THEN
                IF outbox.was_erased(NEW.channel, NEW.idempotency_key) THEN
                    RETURN NULL;
                END IF;
            END IF;
            RETURN NEW;
        END IF;
        SELECT k.notification_id, k.digest INTO taken
        FROM outbox.idempotency_keys k
        WHERE k.key = NEW.idempotency_key AND k.channel = NEW.channel;
        EXIT WHEN FOUND;  -- else retention dropped the old key between the two statements: take it anew
    END LOOP;

    IF taken.digest <> content AND current_setting('outbox.on_conflict', true) IS DISTINCT FROM 'report' THEN
        RAISE unique_violation USING
            MESSAGE = format('idempotency key %L on channel %L already stands for notification %s, which has different content',
                             NEW.idempotency_key, NEW.channel, taken.notification_id),
            HINT = 'Use another key for other content.', CONSTRAINT = 'idempotency_keys_pkey', TABLE = 'idempotency_keys', SCHEMA = 'outbox';
    END IF;
    RETURN NULL;
END
$$;

-- Looks a key up that was just taken. One that was erased stands for the erased notification again, as the caller of
-- outbox.enqueue() is told: it was there.
CREATE FUNCTION outbox.was_erased(channel text, key text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    erased record;
BEGIN
    SELECT e.notification_id, e.created_at INTO erased
    FROM outbox.erased_keys e
    WHERE e.digest = outbox.key_digest(was_erased.channel, was_erased.key);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE outbox.idempotency_keys k
    SET notification_id = erased.notification_id, created_at = erased.created_at
    WHERE k.key = was_erased.key AND k.channel = was_erased.channel;
    RETURN true;
END
$$;

CREATE FUNCTION outbox.bury_keys(places tid[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    buried bigint;
BEGIN
    PERFORM nextval('outbox.erased_ever');  -- before the first is gone
    WITH taken AS (
        DELETE FROM outbox.idempotency_keys k WHERE k.ctid = ANY (places) RETURNING k.*
    ), kept AS (
        INSERT INTO outbox.erased_keys (created_at, notification_id, digest)
        SELECT t.created_at, t.notification_id, outbox.key_digest(t.channel, t.key) FROM taken t
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) INTO buried FROM taken;
    RETURN buried;
END
$$;
