UPDATE outbox.queue SET run_at = greatest(run_at, leased_until) WHERE worker IS NOT NULL;
ALTER TABLE outbox.queue DROP COLUMN leased_until;
ALTER TABLE outbox.queue SET (fillfactor = 70);
ALTER FUNCTION outbox.unblock_next RESET plan_cache_mode;

COMMENT ON COLUMN outbox.queue.run_at IS 'When it is next due; while leased, when the lease ends; infinity while it is blocked by one ahead of it in its line';
