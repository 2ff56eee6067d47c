"""pause: a channel is claimed no more, or nothing goes through a provider, until somebody resumes it or its time comes.

Nothing is done to what waits: it stays due, and no attempt is used. What is in a worker's hands is finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from outbox import connections
from outbox.errors import InvalidPause
from outbox.queue.audit import record
from outbox.queue.paused import Pause, check_name

# One that holds goes on since when it began; one that is over begins anew. A time that is past pauses nothing.
PAUSE = """
WITH before AS (
    SELECT p.until FROM outbox.pauses p
    WHERE p.scope = CAST(:scope AS text) AND p.name = CAST(:name AS text)
      AND (p.until IS NULL OR p.until > clock_timestamp())
)
INSERT INTO outbox.pauses AS p (scope, name, until, paused_by, reason)
SELECT CAST(:scope AS text), CAST(:name AS text), e.until, CAST(:actor AS text), CAST(:reason AS text)
FROM (SELECT coalesce(CAST(CAST(:until AS text) AS timestamptz),
                      clock_timestamp() + make_interval(secs => CAST(CAST(:seconds AS text) AS float8)))) AS e (until)
WHERE (e.until > clock_timestamp()) IS NOT FALSE
ON CONFLICT (scope, name) DO UPDATE
SET until = excluded.until, paused_by = excluded.paused_by, reason = excluded.reason,
    paused_at = CASE WHEN p.until <= clock_timestamp() THEN excluded.paused_at ELSE p.paused_at END
RETURNING p.scope, p.name, p.paused_at, p.until, p.paused_by, p.reason,
          date_part('epoch', clock_timestamp() - p.paused_at), date_part('epoch', p.until - clock_timestamp()),
          EXISTS (SELECT FROM before)
"""

_LONGEST_REASON = 1_000


@dataclass(frozen=True, slots=True)
class Paused:
    """What `pause` did. With `again`, it was paused before, and is paused by these terms from now on."""

    pause: Pause
    again: bool


def pause(
    conn: Any,
    *,
    scope: str,
    name: str,
    actor: str,
    until: datetime | timedelta | None = None,
    reason: str | None = None,
) -> Paused:
    """Pause a channel or a provider, in the transaction that `conn` is in, and write down who did.

    Workers heed it when that commits: at once where they hear notifications, else within about a second. Nothing is
    looked up: what no worker serves can be paused before one does.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        scope: `channel` or `provider`.
        name: which one. A provider is paused on every channel that it delivers for.
        actor: who does it, as `outbox.queue.audit.record` takes it.
        until: when it ends by itself: a moment with a time zone, or how long from now. None: when somebody resumes it.
        reason: why, for those who find it paused: up to 1,000 characters.

    Raises:
        InvalidPause: an argument was refused, before anything was written.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    check_name(scope, name)
    if reason is not None and len(reason) > _LONGEST_REASON:
        raise InvalidPause("reason", f"it has {len(reason):,} characters, and {_LONGEST_REASON:,} are allowed")
    if isinstance(until, datetime) and until.utcoffset() is None:
        raise InvalidPause("until", f"{until.isoformat()} has no time zone")
    asked: connections.Parameters = {
        "scope": scope,
        "name": name,
        "actor": actor,
        "reason": reason,
        "until": until.isoformat() if isinstance(until, datetime) else None,
        "seconds": str(until.total_seconds()) if isinstance(until, timedelta) else None,
    }
    rows = connections.run(conn, PAUSE, asked)
    if not rows:
        raise InvalidPause("until", f"{until} is past: nothing would be paused")
    *pause, again = rows[0]
    done = Paused(Pause(*pause), again)
    details = {"until": done.pause.until, "again": again}
    record(conn, actor=actor, action="pause", subject=f"{scope}:{name}", reason=reason, details=details)
    return done
