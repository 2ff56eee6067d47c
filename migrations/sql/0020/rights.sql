-- What is known of somebody's throttles is data about them, too. Before the digests, as they are locked elsewhere.
DO $do$
DECLARE
    definition text := pg_get_functiondef('outbox.erase_notifications'::regproc);
    before     constant text := 'DELETE FROM outbox.inbox i';
BEGIN
    IF strpos(definition, before) = 0 THEN
        RAISE EXCEPTION 'outbox.erase_notifications() is not the one that earlier migrations made';
    END IF;
    EXECUTE replace(definition, before, $text$DELETE FROM outbox.throttles t
    WHERE t.recipient IN (outbox.throttle_recipient('email', erase_notifications.recipient),
                          outbox.throttle_recipient('', erase_notifications.recipient))
      AND t.recipient = outbox.throttle_recipient(t.channel, erase_notifications.recipient)
      AND t.channel = coalesce(erase_notifications.channel, t.channel);
    DELETE FROM outbox.inbox i$text$);
END
$do$;

REVOKE EXECUTE ON FUNCTION outbox.throttle_recipient, outbox.reached_at, outbox.lock_throttle, outbox.refreshed_throttle,
    outbox.wake_throttled, outbox.next_look, outbox.throttle_digest_key, outbox.admit, outbox.gather, outbox.tend_throttles FROM PUBLIC;

-- Whoever may write attempts is a worker.
DO $$
DECLARE
    worker oid;
BEGIN
    FOR worker IN
        SELECT DISTINCT a.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'outbox.attempts'::regclass AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION outbox.admit, outbox.gather, outbox.tend_throttles TO %s', worker::regrole);
    END LOOP;
END
$$;
