-- What waits goes out now, rather than never.
SELECT outbox.close_digests(ARRAY(SELECT d.id FROM outbox.digests d));

DO $do$
DECLARE
    definition text := pg_get_functiondef('outbox.erase_notifications'::regproc);
BEGIN
    EXECUTE regexp_replace(definition, 'WITH gone AS \(\s+DELETE FROM outbox.digests.*?(?=DELETE FROM outbox.limits l)', '');
END
$do$;

DROP FUNCTION outbox.enqueue_digest, outbox.close_due_digests, outbox.close_digests;
DROP TABLE outbox.digest_items, outbox.digests;
