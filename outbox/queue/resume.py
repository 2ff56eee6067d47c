"""resume: end the pause of a channel or a provider. What waited is claimed again, the most urgent first."""

from __future__ import annotations

from typing import Any

from outbox import connections
from outbox.queue.audit import record
from outbox.queue.paused import Pause, check_name

RESUME = """
UPDATE outbox.pauses p SET until = clock_timestamp()
WHERE p.scope = CAST(:scope AS text) AND p.name = CAST(:name AS text)
  AND (p.until IS NULL OR p.until > clock_timestamp())
RETURNING p.scope, p.name, p.paused_at, p.until, p.paused_by, p.reason,
          date_part('epoch', clock_timestamp() - p.paused_at), date_part('epoch', p.until - clock_timestamp())
"""


def resume(conn: Any, *, scope: str, name: str, actor: str, reason: str | None = None) -> Pause | None:
    """End a pause, in the transaction that `conn` is in, and write down who did; return what it was.

    None when it was not paused; then nothing is written.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        scope: `channel` or `provider`.
        name: which one.
        actor: who does it, as `outbox.queue.audit.record` takes it.
        reason: why, in their words.

    Raises:
        InvalidPause: there can be no channel or provider of that name.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    check_name(scope, name)
    rows = connections.run(conn, RESUME, {"scope": scope, "name": name})
    if not rows:
        return None
    ended = Pause(*rows[0])
    details = {"paused_at": ended.paused_at, "paused_by": ended.by}
    record(conn, actor=actor, action="resume", subject=f"{scope}:{name}", reason=reason, details=details)
    return ended
