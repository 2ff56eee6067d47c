DO $do$
DECLARE
    definition text := pg_get_functiondef('outbox.erase_notifications'::regproc);
BEGIN
    EXECUTE regexp_replace(definition, 'DELETE FROM outbox.throttles t.*?(?=DELETE FROM outbox.inbox i)', '');
END
$do$;

DROP FUNCTION outbox.tend_throttles, outbox.gather, outbox.admit, outbox.throttle_digest_key, outbox.next_look,
    outbox.wake_throttled, outbox.refreshed_throttle, outbox.lock_throttle, outbox.reached_at, outbox.throttle_recipient;
DROP TABLE outbox.throttle_digests, outbox.throttles;
