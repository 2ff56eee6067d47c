-- A worker of an earlier version would not see the leases of a newer one, and send at once what that one has in hand.
DO $$
BEGIN
    IF EXISTS (SELECT FROM outbox.workers w WHERE w.seen_at > clock_timestamp() - interval '1 minute') THEN
        RAISE object_in_use USING MESSAGE = 'workers of an earlier version are at work',
            HINT = 'Stop them, and migrate a minute later: this migration changes where leases are kept.';
    END IF;
END
$$;

-- A lease has a column of its own. A claim then changes no column of an index, so that the new version of its row lies
-- beside the old one (a HOT update), where there is room: half of each page is left free for that. No index is touched, which
-- makes a claim cheaper by a third, and a renewal's row stays within its page too. See docs/decisions/0014.
ALTER TABLE outbox.queue ADD COLUMN leased_until timestamptz;
ALTER TABLE outbox.queue SET (fillfactor = 45);
UPDATE outbox.queue SET leased_until = run_at WHERE worker IS NOT NULL;

-- With a plan for these very values the partitions of notifications are planned anew each time, which takes longer than all
-- the rest.
ALTER FUNCTION outbox.unblock_next SET plan_cache_mode = force_generic_plan;

COMMENT ON COLUMN outbox.queue.run_at IS 'When it is due; infinity while it is blocked by one ahead of it in its line';
COMMENT ON COLUMN outbox.queue.leased_until IS 'When the lease of the worker that holds it ends; empty while it waits';
