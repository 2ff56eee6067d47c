DO $$
DECLARE
    leftover text;
BEGIN
    FOR leftover IN SELECT name FROM outbox.partitions WHERE NOT attached LOOP
        EXECUTE format('DROP TABLE outbox.%I', leftover);
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION outbox.take_idempotency_key() RETURNS trigger
    LANGUAGE plpgsql
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

DROP FUNCTION outbox.erase, outbox.erase_notifications, outbox.erase_keys, outbox.erase_suppressions, outbox.bury_keys, outbox.is_of,
              outbox.was_erased, outbox.key_digest,
              outbox.detach_expired_partition, outbox.drop_detached_partition, outbox.is_needed, outbox.delete_expired,
              outbox.delete_expired_keys;
DROP VIEW outbox.partitions;
DROP TABLE outbox.erased_keys, outbox.erasures;
DROP SEQUENCE outbox.erased_ever;
DROP INDEX outbox.dead_letters_resolved;

ALTER FUNCTION outbox.put_into_queue SECURITY INVOKER;
ALTER FUNCTION outbox.take_out_of_queue SECURITY INVOKER;
ALTER FUNCTION outbox.empty_queue SECURITY INVOKER;
ALTER FUNCTION outbox.enqueue SECURITY INVOKER;
ALTER FUNCTION outbox.enqueue_many SECURITY INVOKER;
ALTER FUNCTION outbox.cancel SECURITY INVOKER;
ALTER FUNCTION outbox.ensure_partitions SECURITY INVOKER;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA outbox TO PUBLIC;
