-- One mailbox, as outbox/addresses.py has it: a test holds the two equal. A quantifier with bounds takes ten times as long, so
-- labels are measured only where one can be too long.
CREATE FUNCTION outbox.is_mailbox(address text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN octet_length(address) <= 254 AND octet_length(split_part(address, '@', 1)) <= 64 AND strpos(address, '=?') = 0
       AND (strpos('0123456789', right(address, 1)) = 0 OR address !~ '[@.][0-9]+$')
       AND CASE WHEN octet_length(address) = length(address) THEN
               address ~ ('^[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+)*'
                          || '@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?$')
               AND (length(split_part(address, '@', 2)) <= 63 OR address !~ '@.*[^.]{64}')
           ELSE
               address ~ ('^(?:[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]|[^\u0001-\u007f])+(?:\.(?:[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]|[^\u0001-\u007f])+)*@'
                          || '(?:(?:[A-Za-z0-9]|[^\u0001-\u007f])(?:(?:[A-Za-z0-9-]|[^\u0001-\u007f])*(?:[A-Za-z0-9]|[^\u0001-\u007f]))?\.)*'
                          || '(?:[A-Za-z0-9]|[^\u0001-\u007f])(?:(?:[A-Za-z0-9-]|[^\u0001-\u007f])*(?:[A-Za-z0-9]|[^\u0001-\u007f]))?$')
               AND address !~ ('[\u0080-\u00a0\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2024-\u202f\u205f-\u206f\u2488-\u249b\u3000\u3002\u3164\ue000-\uf8ff\ufe00-'
                               || '\ufe1f\ufe50-\ufe6f\ufeff\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffa0\uffe0-\uffff\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff]')
           END;
COMMENT ON FUNCTION outbox.is_mailbox IS 'Whether a text is an email address that can be sent to: one mailbox, and nothing clever';

-- The rows that a query returns, as a SELECT: every field of a notification, its own or that of all, and beside them the
-- line; the place, by which all that is for one recipient is found together (with the idempotency key, where the query
-- brings one: two invoices are two notifications); and what is wrong with it, if anything is. The query is one SELECT that
-- is complete by itself, as check_schedule() has seen to. It may end in a comment, hence the new line. Its parameters are
-- $1, and what is the same for all is $3: a statement that fails is quoted, and what messages say may not be in it.
CREATE FUNCTION outbox.selected_rows(query text, columns text[], defaults jsonb) RETURNS text
    LANGUAGE sql STABLE
    RETURN (
        SELECT format($of$
            SELECT c.*, encode(substring(sha256(convert_to(coalesce(c.channel, '') || chr(31)
                || coalesce(CASE WHEN c.channel = 'email' THEN lower(c.recipient) ELSE c.recipient END, '') || %s, 'UTF8'))
                FROM 1 FOR 16), 'hex')::uuid AS place, %s AS problem
            FROM (SELECT row_number() OVER () AS line, %s FROM (%s
            ) AS q) AS c
            $of$,
            CASE WHEN 'idempotency_key' = ANY (columns) THEN $$chr(31) || coalesce(c.idempotency_key, '')$$ ELSE '''''' END,
            (SELECT 'CASE ' || string_agg(format('WHEN %s THEN %L', p.wrong, p.words), ' ') || ' END'
             FROM (VALUES
                 ('recipient', $$coalesce(c.recipient, '') = ''$$, 'recipient is missing'),
                 ('recipient', $$octet_length(c.recipient) > 4096$$, 'recipient is longer than 4,096 bytes'),
                 ('recipient', $$CASE c.channel WHEN 'email' THEN NOT outbox.is_mailbox(c.recipient) END$$, 'recipient is no email address'),
                 ('recipient', $$CASE c.channel WHEN 'email' THEN false ELSE c.recipient ~ '[\x01-\x1f\x7f]' END$$,
                  'recipient has control characters'),
                 ('channel', $$(c.channel ~ '^[a-z][a-z0-9_]*$' AND octet_length(c.channel) <= 63) IS NOT TRUE$$,
                  'channel is not a name, such as email'),
                 ('priority', $$c.priority NOT BETWEEN 0 AND 9$$, 'priority is not from 0 (first) to 9 (last)'),
                 ('payload', $$jsonb_typeof(c.payload) <> 'object' OR pg_column_size(c.payload) > 2097152$$,
                  'payload is not a JSON object of at most 2 MiB'),
                 ('headers', $$jsonb_typeof(c.headers) <> 'object' OR pg_column_size(c.headers) > 131072$$,
                  'headers is not a JSON object of at most 128 KiB'),
                 ('run_at', $$c.run_at NOT BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00'$$, 'run_at is not in 1970 to 8999'),
                 ('expires_at', $$c.expires_at NOT BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00'$$,
                  'expires_at is not in 1970 to 8999'),
                 ('expires_at', $$c.expires_at <= coalesce(c.run_at, clock_timestamp())$$, 'expires_at is not after run_at, or now'),
                 ('template', $$length(c.template) NOT BETWEEN 1 AND 255$$, 'template must have 1 to 255 characters'),
                 ('idempotency_key', $$length(c.idempotency_key) NOT BETWEEN 1 AND 255$$, 'idempotency_key must have 1 to 255 characters'),
                 ('topic', $$length(c.topic) NOT BETWEEN 1 AND 255$$, 'topic must have 1 to 255 characters'),
                 ('group_key', $$length(c.group_key) NOT BETWEEN 1 AND 255$$, 'group_key must have 1 to 255 characters'),
                 ('ordering_key', $$length(c.ordering_key) NOT BETWEEN 1 AND 255$$, 'ordering_key must have 1 to 255 characters'),
                 ('locale', $$length(c.locale) NOT BETWEEN 1 AND 64$$, 'locale must have 1 to 64 characters'),
                 ('time_zone', $$length(c.time_zone) NOT BETWEEN 1 AND 64$$, 'time_zone must have 1 to 64 characters')
             ) AS p (field, wrong, words)
             WHERE p.field = ANY (columns)),
            string_agg(format('CAST(%s AS %s) AS %I',
                CASE WHEN a.attname = ANY (columns) THEN 'q.' || quote_ident(a.attname)
                     WHEN a.attname = 'run_at' AND defaults ? 'delay'
                     THEN format($$%L::timestamptz + CAST($3 ->> 'delay' AS interval)$$, clock_timestamp())
                     WHEN a.attname = 'expires_at' AND defaults ? 'expires_in'
                     THEN format($$%L::timestamptz + CAST($3 ->> 'expires_in' AS interval)$$, clock_timestamp())
                     WHEN a.attname <> 'idempotency_key' AND defaults ? a.attname  -- the prefix of all is not the key of one
                     THEN format('$3 ->> %L', a.attname)
                     ELSE 'NULL' END,
                format_type(a.atttypid, a.atttypmod), a.attname), ', ' ORDER BY a.attnum),
            query)
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = 'outbox.notifications'::regclass AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attname NOT IN ('id', 'created_at')
    );
COMMENT ON FUNCTION outbox.selected_rows IS 'The SELECT of the notifications that a query makes: their fields, their lines and places, what is wrong with them';

-- Such a row, `c`, as one of notifications, with a key where all have a prefix and it has none. Its id is a UUIDv7 as
-- uuid7() makes them, each a step further than the line before; a digest of a random number is as random, and takes a third
-- of the time of another random number.
CREATE FUNCTION outbox.selected_row(defaults jsonb) RETURNS text
    LANGUAGE sql STABLE
    RETURN (
        WITH m AS MATERIALIZED (SELECT clock_timestamp() AS now)
        SELECT format('ROW(%s)::outbox.notifications', string_agg(
            CASE a.attname
            WHEN 'id' THEN format($$(overlay(lpad(to_hex(%s + c.line), 15, '0') PLACING '7' FROM 13 FOR 0) || '8'
                || substr(encode(sha256(%L || int8send(c.line)), 'hex'), 1, 15))::uuid$$,
                (date_part('epoch', m.now) * 4096000)::bigint, uuid_send(gen_random_uuid()))
            WHEN 'created_at' THEN format('%L::timestamptz', m.now)
            WHEN 'run_at' THEN format('coalesce(c.run_at, %L::timestamptz)', m.now)
            WHEN 'priority' THEN 'coalesce(c.priority, 5)'
            WHEN 'payload' THEN $$coalesce(c.payload, '{}')$$
            WHEN 'idempotency_key' THEN CASE WHEN defaults ? 'idempotency_key'
                THEN $$coalesce(c.idempotency_key, ($3 ->> 'idempotency_key') || ':' || replace(c.place::text, '-', ''))$$
                ELSE 'c.idempotency_key' END
            ELSE 'c.' || quote_ident(a.attname) END, ', ' ORDER BY a.attnum))
        FROM pg_catalog.pg_attribute a
        CROSS JOIN m
        WHERE a.attrelid = 'outbox.notifications'::regclass AND a.attnum > 0 AND NOT a.attisdropped
    );
COMMENT ON FUNCTION outbox.selected_row IS 'The expression that makes a row of notifications of one that a query returned';

-- Enqueues those that are not there already (by their keys), not kept back and not unwanted, and counts the others. So a key
-- says nothing of whoever is left out, and a suppression that is lifted later lets them in.
CREATE FUNCTION outbox.enqueue_rows(
    candidates outbox.notifications[], only_count boolean DEFAULT false,
    OUT enqueued bigint, OUT suppressed bigint, OUT unwanted bigint, OUT existing bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    some_suppressed constant boolean := EXISTS (SELECT FROM outbox.suppressions);
    some_choose     constant boolean := EXISTS (SELECT FROM outbox.preferences) OR EXISTS (SELECT FROM outbox.topics t WHERE t.opt_in);
    before          constant text[] := ARRAY[
        coalesce(current_setting('outbox.take_keys', true), ''), coalesce(current_setting('outbox.on_conflict', true), '')];
    late            bigint;
BEGIN
    PERFORM set_config('outbox.take_keys', 'together', true), set_config('outbox.on_conflict', 'report', true),
            set_config('outbox.refused', '', true);
    WITH judged AS MATERIALIZED (
        SELECT c AS row, CASE
            WHEN c.idempotency_key IS NOT NULL AND EXISTS (
                SELECT FROM outbox.idempotency_keys k WHERE k.channel = c.channel AND k.key = c.idempotency_key)
            THEN 'existing'
            WHEN some_suppressed AND EXISTS (
                SELECT FROM outbox.suppressions s
                WHERE s.channel = c.channel AND s.sender = '' AND s.topic IN ('', coalesce(c.topic, ''))
                  AND s.recipient = CASE WHEN c.channel = 'email' THEN lower(c.recipient) ELSE c.recipient END
                  AND (s.until IS NULL OR s.until > greatest(clock_timestamp(), c.run_at))
                  AND (s.reason <> 'unsubscribed'
                       OR NOT EXISTS (SELECT FROM outbox.topics t WHERE t.name = c.topic AND t.transactional)))
            THEN 'suppressed'
            WHEN some_choose AND c.topic IS NOT NULL
                 AND NOT EXISTS (SELECT FROM outbox.topics t WHERE t.name = c.topic AND t.transactional)
                 AND outbox.unwanted(c.channel, c.recipient, c.topic) IS NOT NULL
            THEN 'unwanted'
            END AS verdict
        FROM unnest(candidates) AS c
    ), put AS (
        INSERT INTO outbox.notifications
        SELECT (j.row).* FROM judged j WHERE j.verdict IS NULL AND NOT only_count
    )
    SELECT count(*) FILTER (WHERE j.verdict IS NULL), count(*) FILTER (WHERE j.verdict = 'suppressed'),
           count(*) FILTER (WHERE j.verdict = 'unwanted'), count(*) FILTER (WHERE j.verdict = 'existing')
    INTO enqueued, suppressed, unwanted, existing
    FROM judged j;
    -- Those whose key somebody took in this very moment: the trigger has deleted them again.
    late := coalesce(cardinality(string_to_array(nullif(current_setting('outbox.refused'), ''), ',')), 0);
    PERFORM set_config('outbox.take_keys', before[1], true), set_config('outbox.on_conflict', before[2], true);
    enqueued := enqueued - late;
    existing := existing + late;
END
$$;
COMMENT ON FUNCTION outbox.enqueue_rows IS 'Enqueues whoever is to get it, and counts who is not, and why';
