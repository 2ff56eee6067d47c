-- Rewrites a function by pairs of what it says and what it shall say. Where that changes its parameters it is made anew,
-- and may be called by those who might call it before.
CREATE FUNCTION pg_temp.amend(name text, pairs text[]) RETURNS void
    LANGUAGE plpgsql
AS $amend$
DECLARE
    before     regprocedure := format('outbox.%I', name)::regproc::regprocedure;
    definition text := pg_get_functiondef(before);
    acl        aclitem[] := (SELECT p.proacl FROM pg_proc p WHERE p.oid = before);
    words      text := obj_description(before, 'pg_proc');
    pair       text[];
    after      regprocedure;
    other      oid;
BEGIN
    FOREACH pair SLICE 1 IN ARRAY pairs LOOP
        IF strpos(definition, pair[1]) = 0 THEN
            RAISE EXCEPTION 'outbox.%() is not the one that earlier migrations made', name;
        END IF;
        definition := replace(definition, pair[1], pair[2]);
    END LOOP;
    EXECUTE definition;
    SELECT p.oid INTO after FROM pg_proc p
    WHERE p.pronamespace = 'outbox'::regnamespace AND p.proname = name AND p.oid <> before;
    IF after IS NULL THEN  -- its parameters are the same, and so it is the same
        RETURN;
    END IF;
    EXECUTE format('DROP FUNCTION %s', before);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', after);
    FOR other IN
        SELECT a.grantee FROM aclexplode(acl) a WHERE a.grantee <> (SELECT p.proowner FROM pg_proc p WHERE p.oid = after)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', after, CASE other WHEN 0 THEN 'PUBLIC' ELSE other::regrole::text END);
    END LOOP;
    EXECUTE format('COMMENT ON FUNCTION %s IS %L', after, words);
END
$amend$;
