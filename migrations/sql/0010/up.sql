-- A recipient's bucket goes by the channel, and by a digest of the recipient: it may be as long as a subscription, and a
-- list of whom we write to is nobody's business. Of email addresses the case does not matter.
CREATE FUNCTION outbox.is_limit_of(name text, channel text, recipient text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
RETURN split_part(is_limit_of.name, ':', 1) = coalesce(is_limit_of.channel, split_part(is_limit_of.name, ':', 1))
   AND split_part(is_limit_of.name, ':', 2) = encode(sha256(convert_to(
           CASE WHEN is_limit_of.name LIKE 'email:%' THEN lower(is_limit_of.recipient) ELSE is_limit_of.recipient END,
           'UTF8')), 'hex');
COMMENT ON FUNCTION outbox.is_limit_of IS 'Whether a recipient''s token bucket is this one''s; a NULL channel is any';
REVOKE EXECUTE ON FUNCTION outbox.is_limit_of FROM PUBLIC;

-- Erasing somebody goes by that: the one condition of erase_notifications() that changes, in the function as it is.
DO $do$
DECLARE
    definition text := pg_get_functiondef('outbox.erase_notifications'::regproc);
BEGIN
    IF strpos(definition, $text$l.scope = 'recipient' AND outbox.is_of('email', l.name, NULL, erase_notifications.recipient)$text$) = 0 THEN
        RAISE EXCEPTION 'outbox.erase_notifications() is not the one that migration 0003 made';
    END IF;
    EXECUTE replace(definition,
        $text$l.scope = 'recipient' AND outbox.is_of('email', l.name, NULL, erase_notifications.recipient)$text$,
        $text$l.scope = 'recipient' AND outbox.is_limit_of(l.name, erase_notifications.channel, erase_notifications.recipient)$text$);
END
$do$;

-- Workers let go of buckets that are full again; whoever may write attempts is a worker.
DO $$
DECLARE
    worker oid;
BEGIN
    FOR worker IN
        SELECT DISTINCT a.grantee FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.oid = 'outbox.attempts'::regclass AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT DELETE ON outbox.limits TO %s', worker::regrole);
    END LOOP;
END
$$;
