-- What is past its time goes in small steps, each of them a function: whoever may call them, a worker say, needs no right
-- to drop or to delete anything else. `days` is never less than one, whoever calls.

CREATE INDEX dead_letters_resolved ON outbox.dead_letters (resolved_at) WHERE resolution IS NOT NULL;

-- The partitions by day, and what retention has detached and not dropped yet. The comment tells the latter from a
-- partition that somebody detached to keep it.
CREATE VIEW outbox.partitions AS
SELECT p.relname::text AS parent,
       c.relname::text AS name,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM $$FROM \('([0-9a-f-]{36})'\)$$)::uuid AS lowest,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM $$TO \('([0-9a-f-]{36})'\)$$)::uuid AS beyond,
       true AS attached,
       c.reltuples::bigint AS estimated_rows,
       pg_total_relation_size(c.oid) AS bytes
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class p ON p.oid = i.inhparent
WHERE i.inhparent IN ('outbox.notifications'::regclass, 'outbox.attempts'::regclass)
UNION ALL
SELECT split_part(c.relname, '_', 1), c.relname::text, NULL, NULL, false, c.reltuples::bigint, pg_total_relation_size(c.oid)
FROM pg_class c
WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
  AND obj_description(c.oid, 'pg_class') = 'Detached by retention, to be dropped';

-- Detaching takes ACCESS EXCLUSIVE on the parent, for a few milliseconds, and whatever comes meanwhile waits behind the
-- one that waits for it: so it waits for one millisecond, then for two, and so on up to `patience`. (CONCURRENTLY, which
-- would take less, is refused where there is a DEFAULT partition.) The table itself is dropped later, under no lock of the
-- parent: unlinking gigabytes takes long. Returns 'detached', 'held' (something in the queue is of that day), 'busy'
-- (the lock was not to be had), or 'gone' (somebody was faster).
CREATE FUNCTION outbox.detach_expired_partition(partition text, days integer, patience integer DEFAULT 100) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked  record;
    millis integer;
BEGIN
    SELECT p.* INTO asked FROM outbox.partitions p WHERE p.name = partition AND p.attached;
    IF NOT FOUND THEN
        RETURN 'gone';
    END IF;
    IF (days >= 1 AND asked.lowest IS NOT NULL
        AND asked.beyond <= outbox.uuid7_floor(clock_timestamp() - make_interval(days => days))) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING MESSAGE = format('%s is not older than %s days', partition, days);
    END IF;
    IF outbox.is_needed(asked.parent, asked.lowest, asked.beyond) THEN
        RETURN 'held';
    END IF;
    FOREACH millis IN ARRAY ARRAY[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] LOOP
        EXIT WHEN millis > patience;
        BEGIN
            PERFORM set_config('lock_timeout', millis || 'ms', true);
            EXECUTE format('LOCK TABLE ONLY outbox.%I IN ACCESS EXCLUSIVE MODE', asked.parent);
            -- Once more: a replay may have put something of that day back while this waited. None can any more.
            IF outbox.is_needed(asked.parent, asked.lowest, asked.beyond) THEN
                RAISE no_data_found;  -- which gives the lock back
            END IF;
            EXECUTE format('ALTER TABLE outbox.%I DETACH PARTITION outbox.%I', asked.parent, partition);
            EXECUTE format('COMMENT ON TABLE outbox.%I IS %L', partition, 'Detached by retention, to be dropped');
            -- A caller that freezes before it commits shall not hold up everybody else.
            PERFORM set_config('idle_in_transaction_session_timeout', '1s', true);
            RETURN 'detached';
        EXCEPTION
            WHEN lock_not_available THEN
                PERFORM pg_sleep(millis / 1000.0 + 0.02);  -- for those who waited behind this to get on
            WHEN no_data_found THEN
                RETURN 'held';
        END;
    END LOOP;
    RETURN 'busy';
END
$$;

-- Whether dropping these ids would lose something: work of theirs remains, or, for attempts, their notifications do.
CREATE FUNCTION outbox.is_needed(parent text, lowest uuid, beyond uuid) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM outbox.queue q WHERE q.id >= lowest AND q.id < beyond)
        OR (parent = 'attempts' AND EXISTS (SELECT FROM outbox.notifications n WHERE n.id >= lowest AND n.id < beyond));
END
$$;

CREATE FUNCTION outbox.drop_detached_partition(partition text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM outbox.partitions p WHERE p.name = partition AND NOT p.attached;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE outbox.%I', partition);
    RETURN true;
END
$$;

-- One batch; returns how many there were. The rows of `notifications` and `attempts` are those that lie in the DEFAULT
-- partitions. What the queue still refers to is kept.
CREATE FUNCTION outbox.delete_expired(kind text, days integer, batch integer DEFAULT 1000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment  timestamptz := clock_timestamp() - make_interval(days => days);
    chosen  uuid[];
    deleted integer;
BEGIN
    IF (days >= 1 AND batch BETWEEN 1 AND 10000) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING MESSAGE = 'days is at least 1, and batch from 1 to 10000';
    END IF;
    CASE kind
    WHEN 'notifications' THEN
        chosen := ARRAY(
            SELECT n.id FROM outbox.notifications_default n
            WHERE n.id < outbox.uuid7_floor(moment) AND NOT EXISTS (SELECT FROM outbox.queue q WHERE q.id = n.id)
            ORDER BY n.id LIMIT batch);
        -- A replay locks its letter first: it is over, and seen below, or it finds the notification gone.
        PERFORM FROM outbox.dead_letters d WHERE d.notification_id = ANY (chosen) ORDER BY d.notification_id FOR UPDATE;
        DELETE FROM outbox.notifications_default n
        WHERE n.id = ANY (chosen) AND NOT EXISTS (SELECT FROM outbox.queue q WHERE q.id = n.id);
    WHEN 'attempts' THEN
        DELETE FROM outbox.attempts_default a
        WHERE a.ctid = ANY (ARRAY(
            SELECT old.ctid FROM outbox.attempts_default old
            WHERE old.notification_id < outbox.uuid7_floor(moment)
              AND NOT EXISTS (SELECT FROM outbox.queue q WHERE q.id = old.notification_id)
              AND NOT EXISTS (SELECT FROM outbox.notifications n WHERE n.id = old.notification_id)
            ORDER BY old.notification_id LIMIT batch FOR UPDATE SKIP LOCKED));
    WHEN 'resolved dead letters' THEN
        DELETE FROM outbox.dead_letters d
        WHERE d.notification_id = ANY (ARRAY(
            SELECT old.notification_id FROM outbox.dead_letters old
            WHERE old.resolution IS NOT NULL AND old.resolved_at < moment
              AND NOT EXISTS (SELECT FROM outbox.queue q WHERE q.id = old.notification_id)
            ORDER BY old.resolved_at LIMIT batch FOR UPDATE SKIP LOCKED));
    WHEN 'open dead letters' THEN
        DELETE FROM outbox.dead_letters d
        WHERE d.notification_id = ANY (ARRAY(
            SELECT old.notification_id FROM outbox.dead_letters old
            WHERE old.resolution IS NULL AND old.died_at < moment LIMIT batch FOR UPDATE SKIP LOCKED));
    WHEN 'erased keys' THEN
        DELETE FROM outbox.erased_keys e
        WHERE e.digest = ANY (ARRAY(SELECT old.digest FROM outbox.erased_keys old WHERE old.created_at < moment LIMIT batch));
    ELSE
        RAISE invalid_parameter_value USING MESSAGE = format('there is no kind %L', kind);
    END CASE;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;

-- Keys are looked through from the first page to the last, 16 MiB or a batch at a time. An index on created_at would be
-- paid by every enqueue with a key (66 bytes of WAL); a BRIN would be free, and useless once the space of the oldest keys
-- has been used again. `next_page` is where to go on; none when that was the end.
CREATE FUNCTION outbox.delete_expired_keys(
    days integer, page bigint DEFAULT 0, batch integer DEFAULT 1000, OUT deleted integer, OUT next_page bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pages  bigint := pg_relation_size('outbox.idempotency_keys') / current_setting('block_size')::bigint;
    beyond bigint := least(page + 2048, pages);
    chosen tid[];
BEGIN
    IF (days >= 1 AND page >= 0 AND batch BETWEEN 1 AND 10000) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING MESSAGE = 'days is at least 1, page at least 0, and batch from 1 to 10000';
    END IF;
    chosen := ARRAY(
        SELECT k.ctid FROM outbox.idempotency_keys k
        WHERE k.ctid >= format('(%s,0)', page)::tid AND k.ctid < format('(%s,0)', beyond)::tid
          AND k.created_at < clock_timestamp() - make_interval(days => days)
          AND NOT EXISTS (SELECT FROM outbox.queue q WHERE q.id = k.notification_id)
        LIMIT batch
        FOR UPDATE SKIP LOCKED);
    DELETE FROM outbox.idempotency_keys k WHERE k.ctid = ANY (chosen);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    next_page := CASE
        -- The lowest, because they come in no order: on a later page, others before it might have been passed over.
        WHEN cardinality(chosen) = batch
            THEN (SELECT min(split_part(ltrim(c.tid::text, '('), ',', 1)::bigint) FROM unnest(chosen) AS c (tid))
        WHEN beyond < pages THEN beyond
    END;
END
$$;
