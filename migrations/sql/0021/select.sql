-- SELECT * FROM outbox.enqueue_select('SELECT email AS recipient FROM users', '{}', '{recipient}', '{"channel": "email"}', 'public');
-- Runs the query with the caller's rights, finding its tables by `search_path`, and enqueues five thousand rows at a time.
-- Where one row is wrong, none is enqueued, unless they are to be skipped.
CREATE FUNCTION outbox.enqueue_select(
    query text, parameters text[], columns text[], defaults jsonb, search_path text, skip_invalid boolean DEFAULT false,
    OUT selected bigint, OUT enqueued bigint, OUT suppressed bigint, OUT unwanted bigint, OUT duplicates bigint, OUT existing bigint,
    OUT invalid bigint, OUT problems text, OUT examples text)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words text;
    code  text;
BEGIN
    PERFORM set_config('search_path', concat_ws(', ', nullif(enqueue_select.search_path, ''), 'pg_temp'), true);
    EXECUTE format($of$
        WITH selected AS MATERIALIZED (%s
        ), bad AS MATERIALIZED (
            SELECT b.problem, count(*) AS number FROM selected b WHERE b.problem IS NOT NULL GROUP BY b.problem
        ), batches AS (
            SELECT n.batch, array_agg(n.notification) AS candidates
            FROM (SELECT c.line / 5000 AS batch, %s AS notification
                  FROM (SELECT c.* FROM selected c
                        JOIN (SELECT min(f.line) AS line FROM selected f WHERE f.problem IS NULL GROUP BY f.place) f USING (line)
                        WHERE $2 OR NOT EXISTS (SELECT FROM bad)
                        ORDER BY c.line / 5000, c.line) c) n
            GROUP BY n.batch
            ORDER BY n.batch
        ), done AS (
            SELECT coalesce(sum(e.enqueued), 0) AS enqueued, coalesce(sum(e.suppressed), 0) AS suppressed,
                   coalesce(sum(e.unwanted), 0) AS unwanted, coalesce(sum(e.existing), 0) AS existing
            FROM batches b CROSS JOIN LATERAL outbox.enqueue_rows(b.candidates) e
        )
        SELECT s.number, d.enqueued, d.suppressed, d.unwanted, d.existing, coalesce(b.number, 0), b.problems,
               (SELECT json_agg(json_build_array(x.recipient, x.problem))
                FROM (SELECT e.recipient, e.problem FROM selected e WHERE e.problem IS NOT NULL ORDER BY e.line LIMIT 5) x)
        FROM (SELECT count(*) AS number FROM selected) s
        CROSS JOIN done d
        CROSS JOIN (SELECT sum(p.number) AS number, json_object_agg(p.problem, p.number ORDER BY p.number DESC) AS problems FROM bad p) b
        $of$, outbox.selected_rows(query, columns, defaults), outbox.selected_row(defaults))
    INTO selected, enqueued, suppressed, unwanted, existing, invalid, problems, examples
    USING parameters, skip_invalid, defaults;
    duplicates := selected - enqueued - suppressed - unwanted - existing - invalid;
EXCEPTION
    WHEN OTHERS THEN  -- told without our statement around the query
        GET STACKED DIAGNOSTICS words = MESSAGE_TEXT, code = RETURNED_SQLSTATE;
        RAISE EXCEPTION USING MESSAGE = words, ERRCODE = code;
END
$$;
COMMENT ON FUNCTION outbox.enqueue_select IS 'Enqueues what a query returns, in the current transaction, and counts';
