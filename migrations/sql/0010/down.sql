DO $do$
DECLARE
    definition text := pg_get_functiondef('outbox.erase_notifications'::regproc);
BEGIN
    IF strpos(definition, $text$l.scope = 'recipient' AND outbox.is_limit_of(l.name, erase_notifications.channel, erase_notifications.recipient)$text$) = 0 THEN
        RAISE EXCEPTION 'outbox.erase_notifications() is not the one that migration 0003 made';
    END IF;
    EXECUTE replace(definition,
        $text$l.scope = 'recipient' AND outbox.is_limit_of(l.name, erase_notifications.channel, erase_notifications.recipient)$text$,
        $text$l.scope = 'recipient' AND outbox.is_of('email', l.name, NULL, erase_notifications.recipient)$text$);
END
$do$;

DELETE FROM outbox.limits l WHERE l.scope = 'recipient';
DROP FUNCTION outbox.is_limit_of;
