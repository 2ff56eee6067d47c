-- Empty where nothing was rendered; then they take no room.
ALTER TABLE outbox.attempts ADD COLUMN content_digest bytea, ADD COLUMN template_digest bytea;
COMMENT ON COLUMN outbox.attempts.content_digest IS 'Digest of what the template said, as the provider was given it';
COMMENT ON COLUMN outbox.attempts.template_digest IS 'Digest of the template and of all that it includes, as they were then';

-- Whoever knows a template can try names until the digest is that of the content: with a person it is erased.
DO $do$
DECLARE
    definition text := pg_get_functiondef('outbox.erase_notifications'::regproc);
BEGIN
    IF strpos(definition, 'SET provider_message_id = NULL, error = NULL') = 0
       OR strpos(definition, '(a.provider_message_id IS NOT NULL OR a.error IS NOT NULL)') = 0 THEN
        RAISE EXCEPTION 'outbox.erase_notifications() is not the one that migration 0003 made';
    END IF;
    EXECUTE replace(replace(definition,
        'SET provider_message_id = NULL, error = NULL',
        'SET provider_message_id = NULL, error = NULL, content_digest = NULL'),
        '(a.provider_message_id IS NOT NULL OR a.error IS NOT NULL)',
        '(a.provider_message_id IS NOT NULL OR a.error IS NOT NULL OR a.content_digest IS NOT NULL)');
END
$do$;
