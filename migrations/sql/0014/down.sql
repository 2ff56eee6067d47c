DO $do$
DECLARE
    definition text := pg_get_functiondef('outbox.erase_notifications'::regproc);
BEGIN
    EXECUTE replace(replace(definition,
        'SET provider_message_id = NULL, error = NULL, content_digest = NULL',
        'SET provider_message_id = NULL, error = NULL'),
        '(a.provider_message_id IS NOT NULL OR a.error IS NOT NULL OR a.content_digest IS NOT NULL)',
        '(a.provider_message_id IS NOT NULL OR a.error IS NOT NULL)');
END
$do$;

ALTER TABLE outbox.attempts DROP COLUMN content_digest, DROP COLUMN template_digest;
