-- Notifications of one channel with the same ordering key stand in line: none is claimed before the one ahead of it has
-- ended. `position` is the place in the line. Whoever has somebody ahead is blocked, which is a run_at that never comes, so
-- that no claim walks over it. See docs/decisions/0007.

ALTER TABLE outbox.notifications ADD COLUMN ordering_key text;
ALTER TABLE outbox.dead_letters ADD COLUMN ordering_key text;
ALTER TABLE outbox.queue ADD COLUMN position bigint, ADD COLUMN ordering_key text;

-- The order is that of the enqueues, and not of their ids: clocks are set back, and some ids are made elsewhere.
CREATE SEQUENCE outbox.queue_positions OWNED BY outbox.queue.position;

CREATE INDEX queue_ordering ON outbox.queue (channel, ordering_key, position) WHERE ordering_key IS NOT NULL;
CREATE INDEX queue_blocked ON outbox.queue (channel, ordering_key, position) WHERE run_at = 'infinity';

-- enable_seqscan, here and below: what was planned while the queue was short must not read all of it when it is long.

-- What is put into the queue stands at the end of its line, a replayed dead letter too. Looked for from the end, because
-- what lies at the beginning may have ended, and not been vacuumed yet. The length is checked here, because for a constraint
-- all notifications would be read, and every enqueue held up meanwhile.
CREATE FUNCTION outbox.stand_in_line() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    IF length(NEW.ordering_key) NOT BETWEEN 1 AND 255 THEN
        RAISE check_violation USING MESSAGE = format('an ordering key has 1 to 255 characters, not %s', length(NEW.ordering_key)),
            COLUMN = 'ordering_key', TABLE = 'notifications', SCHEMA = 'outbox';
    END IF;
    NEW.position := nextval('outbox.queue_positions');
    PERFORM FROM outbox.queue q
    WHERE q.channel = NEW.channel AND q.ordering_key = NEW.ordering_key
    ORDER BY q.position DESC LIMIT 1;
    IF FOUND THEN
        NEW.run_at := 'infinity';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER queue_stand_in_line BEFORE INSERT ON outbox.queue
    FOR EACH ROW WHEN (NEW.ordering_key IS NOT NULL) EXECUTE FUNCTION outbox.stand_in_line();

CREATE OR REPLACE FUNCTION outbox.put_into_queue() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO outbox.queue (id, run_at, priority, channel, ordering_key)
    SELECT f.id, f.run_at, f.priority, f.channel, f.ordering_key FROM fresh f ORDER BY f.id;

    PERFORM pg_notify('outbox', due.channel)
    FROM (SELECT DISTINCT f.channel FROM fresh f WHERE f.run_at <= clock_timestamp()) due
    WHERE EXISTS (SELECT FROM outbox.workers w
                  WHERE due.channel = ANY (w.idle) AND w.seen_at > clock_timestamp() - interval '1 minute');
    RETURN NULL;
END
$$;

-- Asked by the claim about what is due and has a key: two that were enqueued at the same time did not see each other.
CREATE FUNCTION outbox.is_blocked(channel text, ordering_key text, at_position bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    PERFORM FROM outbox.queue q
    WHERE q.channel = is_blocked.channel AND q.ordering_key = is_blocked.ordering_key AND q.position < at_position
    ORDER BY q.position LIMIT 1;
    RETURN FOUND;
END
$$;

-- Whoever stood at a position has left the line, and the next is due: now, or when its run_at says, but never at a moment
-- that has passed, where claims do not look any more. SKIP LOCKED, because an application's open transaction must not hold
-- up a settlement; what is missed for that reason, or is not committed yet, the chore `unblock` finds seconds later.
-- `besides` are passed over: they end in the same statement. A generic plan, because otherwise the partitions of
-- `notifications` are planned anew each time, which takes longer than all the rest. Returns whether there was one to unblock.
CREATE FUNCTION outbox.unblock_next(channel text, ordering_key text, at_position bigint, besides uuid[] DEFAULT '{}')
    RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    next_id uuid;
    due_at  timestamptz;
BEGIN
    SELECT q.id INTO next_id
    FROM outbox.queue q
    WHERE q.channel = unblock_next.channel AND q.ordering_key = unblock_next.ordering_key AND q.position > at_position
      AND q.id <> ALL (besides)
    ORDER BY q.position LIMIT 1;
    PERFORM FROM outbox.queue q
    WHERE q.id = next_id AND q.worker IS NULL AND (q.run_at = 'infinity' OR q.run_at <= clock_timestamp())
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE outbox.queue q
    SET run_at = greatest(clock_timestamp(), (SELECT n.run_at FROM outbox.notifications n WHERE n.id = next_id))
    WHERE q.id = next_id
    RETURNING q.run_at INTO due_at;
    IF due_at <= clock_timestamp() THEN
        PERFORM pg_notify('outbox', unblock_next.channel)
        WHERE EXISTS (SELECT FROM outbox.workers w
                      WHERE unblock_next.channel = ANY (w.idle) AND w.seen_at > clock_timestamp() - interval '1 minute');
    END IF;
    RETURN true;
END
$$;
