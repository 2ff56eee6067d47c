-- A fan-out goes through what a query returns in the order of places, which say nothing about anybody: a chunk is one
-- transaction, and moves `last`. So whoever runs it again goes on after it, and nobody is before it and after it as well.
CREATE TABLE outbox.fan_outs (
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    advanced_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    expected    bigint      NOT NULL DEFAULT 0,
    selected    bigint      NOT NULL DEFAULT 0,
    enqueued    bigint      NOT NULL DEFAULT 0,
    suppressed  bigint      NOT NULL DEFAULT 0,
    unwanted    bigint      NOT NULL DEFAULT 0,
    duplicates  bigint      NOT NULL DEFAULT 0,
    existing    bigint      NOT NULL DEFAULT 0,
    invalid     bigint      NOT NULL DEFAULT 0,
    last        uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    name        text        NOT NULL,
    content     text        NOT NULL,
    CONSTRAINT fan_outs_pkey PRIMARY KEY (name),
    CONSTRAINT fan_outs_name_is_a_name CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$' AND length(name) <= 63),
    CONSTRAINT fan_outs_counts_add_up CHECK (selected = enqueued + suppressed + unwanted + duplicates + existing + invalid)
);
COMMENT ON TABLE outbox.fan_outs IS 'What is enqueued from a query in chunks, once: how far each has come';
COMMENT ON COLUMN outbox.fan_outs.started_at IS 'When its first chunk was enqueued';
COMMENT ON COLUMN outbox.fan_outs.advanced_at IS 'When its last chunk was enqueued';
COMMENT ON COLUMN outbox.fan_outs.finished_at IS 'When it was through; empty while it is not';
COMMENT ON COLUMN outbox.fan_outs.expected IS 'How many rows there will be, as far as is known';
COMMENT ON COLUMN outbox.fan_outs.selected IS 'Rows that were gone through: the sum of the next six';
COMMENT ON COLUMN outbox.fan_outs.enqueued IS 'Rows that became notifications';
COMMENT ON COLUMN outbox.fan_outs.suppressed IS 'Rows whose recipient must not be contacted';
COMMENT ON COLUMN outbox.fan_outs.unwanted IS 'Rows whose recipient does not want the topic';
COMMENT ON COLUMN outbox.fan_outs.duplicates IS 'Rows for a recipient who had one already';
COMMENT ON COLUMN outbox.fan_outs.existing IS 'Rows whose idempotency key had been used before';
COMMENT ON COLUMN outbox.fan_outs.invalid IS 'Rows that could be no notification, and were skipped';
COMMENT ON COLUMN outbox.fan_outs.last IS 'The place of the last row gone through: a digest, in whose order they come';
COMMENT ON COLUMN outbox.fan_outs.name IS 'Its name: one name, one fan-out';
COMMENT ON COLUMN outbox.fan_outs.content IS 'A digest of the query and of all that is the same for each: nothing else can go on under the name';

-- Runs the query once, into a table of the session's own, from a place on; counts the rows, and says what is wrong with some.
-- Where some are wrong and are not to be skipped, nothing is left of it.
CREATE FUNCTION outbox.stage_fan_out(
    query text, parameters text[], columns text[], defaults jsonb, search_path text, after uuid, skip_invalid boolean DEFAULT false,
    OUT selected bigint, OUT invalid bigint, OUT problems text, OUT examples text)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    words text;
    code  text;
BEGIN
    DROP TABLE IF EXISTS pg_temp.outbox_fan_out;
    PERFORM set_config('search_path', concat_ws(', ', nullif(stage_fan_out.search_path, ''), 'pg_temp'), true);
    EXECUTE format($of$
        CREATE TEMPORARY TABLE outbox_fan_out AS
        SELECT s.*, s.problem IS NULL AND row_number() OVER (PARTITION BY s.place, s.problem IS NULL ORDER BY s.line) = 1 AS chosen
        FROM (%s
        ) AS s
        WHERE s.place > $2
        $of$, outbox.selected_rows(query, columns, defaults))
    USING parameters, after, defaults;
    PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    CREATE INDEX outbox_fan_out_place ON pg_temp.outbox_fan_out (place);
    EXECUTE 'SELECT count(*), count(problem) FROM pg_temp.outbox_fan_out' INTO selected, invalid;
    IF invalid > 0 THEN
        EXECUTE $of$
            SELECT (SELECT json_object_agg(p.problem, p.number ORDER BY p.number DESC)
                    FROM (SELECT b.problem, count(*) AS number FROM pg_temp.outbox_fan_out b
                          WHERE b.problem IS NOT NULL GROUP BY b.problem) p),
                   (SELECT json_agg(json_build_array(x.recipient, x.problem))
                    FROM (SELECT e.recipient, e.problem FROM pg_temp.outbox_fan_out e
                          WHERE e.problem IS NOT NULL ORDER BY e.line LIMIT 5) x)
            $of$ INTO problems, examples;
        IF NOT skip_invalid THEN
            DROP TABLE pg_temp.outbox_fan_out;
        END IF;
    END IF;
EXCEPTION
    WHEN OTHERS THEN  -- told without our statement around the query
        GET STACKED DIAGNOSTICS words = MESSAGE_TEXT, code = RETURNED_SQLSTATE;
        RAISE EXCEPTION USING MESSAGE = words, ERRCODE = code;
END
$$;
COMMENT ON FUNCTION outbox.stage_fan_out IS 'Runs the query of a fan-out into a table of the session''s own, and counts';

-- The rows after a place, about so many of them: all that are for one recipient. After `upto` there are more;
-- where it is NULL, there are none, and the table is gone.
CREATE FUNCTION outbox.staged_rows(
    after uuid, size bigint, defaults jsonb,
    OUT upto uuid, OUT selected bigint, OUT invalid bigint, OUT duplicates bigint, OUT candidates outbox.notifications[])
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    EXECUTE 'SELECT c.place FROM pg_temp.outbox_fan_out c WHERE c.place > $1 ORDER BY c.place OFFSET $2 - 1 LIMIT 1'
    INTO upto USING after, size;
    EXECUTE format($of$
        SELECT count(*), count(c.problem), count(*) FILTER (WHERE c.problem IS NULL AND NOT c.chosen),
               coalesce(array_agg(%s) FILTER (WHERE c.chosen), '{}')
        FROM pg_temp.outbox_fan_out c
        WHERE c.place > $1 AND c.place <= coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        $of$, outbox.selected_row(defaults))
    INTO selected, invalid, duplicates, candidates USING after, upto, defaults;
    IF upto IS NULL THEN
        DROP TABLE pg_temp.outbox_fan_out;
    END IF;
END
$$;
COMMENT ON FUNCTION outbox.staged_rows IS 'The next rows of a fan-out that was staged';

CREATE FUNCTION outbox.staged_sample() RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sample text;
BEGIN
    EXECUTE $of$
        SELECT json_agg(json_build_object(
            'channel', s.channel, 'recipient', s.recipient, 'template', s.template, 'payload', s.payload) ORDER BY s.line)
        FROM (SELECT * FROM pg_temp.outbox_fan_out f WHERE f.chosen ORDER BY f.line LIMIT 3) s
        $of$ INTO sample;
    RETURN sample;
END
$$;
COMMENT ON FUNCTION outbox.staged_sample IS 'The first three notifications of a fan-out that was staged';

-- Enqueues the next chunk of what was staged, in one transaction with how far that is. Whoever else is at the fan-out is
-- waited for, and what they did is not done again. Nothing is done where it is finished, or the name stands for another.
CREATE FUNCTION outbox.advance_fan_out(name text, content text, defaults jsonb, size bigint, expected bigint)
    RETURNS outbox.fan_outs
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fan_out outbox.fan_outs;
    found   record;
    counted record;
    moment  timestamptz;
BEGIN
    INSERT INTO outbox.fan_outs (name, content, expected)
    VALUES (advance_fan_out.name, advance_fan_out.content, advance_fan_out.expected)
    ON CONFLICT DO NOTHING;
    SELECT * INTO fan_out FROM outbox.fan_outs f WHERE f.name = advance_fan_out.name FOR UPDATE;
    IF fan_out.content <> advance_fan_out.content OR fan_out.finished_at IS NOT NULL THEN
        DROP TABLE pg_temp.outbox_fan_out;
        RETURN fan_out;
    END IF;
    SELECT * INTO found FROM outbox.staged_rows(fan_out.last, size, defaults);
    SELECT * INTO counted FROM outbox.enqueue_rows(found.candidates);
    moment := clock_timestamp();
    UPDATE outbox.fan_outs f
    SET advanced_at = moment, finished_at = CASE WHEN found.upto IS NULL THEN moment END,
        last = coalesce(found.upto, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), selected = f.selected + found.selected,
        expected = CASE WHEN found.upto IS NULL THEN f.selected + found.selected ELSE advance_fan_out.expected END,
        enqueued = f.enqueued + counted.enqueued, suppressed = f.suppressed + counted.suppressed,
        unwanted = f.unwanted + counted.unwanted, existing = f.existing + counted.existing,
        duplicates = f.duplicates + found.duplicates, invalid = f.invalid + found.invalid
    WHERE f.name = advance_fan_out.name
    RETURNING * INTO fan_out;
    RETURN fan_out;
END
$$;
COMMENT ON FUNCTION outbox.advance_fan_out IS 'Enqueues the next chunk of a fan-out, and notes how far it has come';
