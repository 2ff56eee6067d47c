"""gauge: what there is one of for the whole fleet, but for how much waits: how the tables and their partitions do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import AsyncConnection

# Whose snapshot is old is asked as `horizon` does: of this database alone, and neither VACUUM nor an idle session holds
# up anybody. What lies in the DEFAULT partitions is not counted beyond a number that nobody would move by hand.
GAUGE = """
INSERT INTO outbox.gauges (name, value)
SELECT 'queue_dead_tuples', t.n_dead_tup FROM pg_stat_all_tables t WHERE t.relid = 'outbox.queue'::regclass
UNION ALL
SELECT 'oldest_snapshot_seconds', coalesce(max(date_part('epoch', clock_timestamp() - a.xact_start)), 0)
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
  AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
  AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.state IS DISTINCT FROM 'idle'
UNION ALL
SELECT 'default_partition_rows',
       (SELECT count(*) FROM (SELECT n.id FROM outbox.notifications_default n LIMIT %(at_least)s) strays)
       + (SELECT count(*) FROM (SELECT a.notification_id FROM outbox.attempts_default a LIMIT %(at_least)s) strays)
UNION ALL
SELECT 'partitions_ahead_days', coalesce(date_part('epoch', min(of_one.last) - clock_timestamp()) / 86400, 0)
FROM (SELECT max(outbox.uuid7_time(p.beyond)) AS last FROM outbox.partitions p
      WHERE p.attached AND p.beyond IS NOT NULL GROUP BY p.parent) of_one
ON CONFLICT (name, channel) DO UPDATE SET (value, measured_at) = (excluded.value, excluded.measured_at)
"""

_AT_LEAST = 10_000


async def gauge(conn: AsyncConnection[Any]) -> None:
    """Replace what was known: dead tuples of the queue, the oldest snapshot, rows astray, days that have partitions."""
    await conn.execute(GAUGE, {"at_least": _AT_LEAST})
