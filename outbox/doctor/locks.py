"""locks: who holds one on our tables and does nothing, and who waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, either
from outbox.doctor.horizon import without_values
from outbox.doctor.words import age
from outbox.errors import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

_IDLE = """
SELECT a.pid, coalesce(a.usename, '') AS role, coalesce(a.application_name, '') AS application,
       date_part('epoch', clock_timestamp() - a.state_change) AS seconds, coalesce(a.query, '') AS query,
       array_to_string((array_agg(DISTINCT c.relname ORDER BY c.relname))[1:3], ', ') AS tables,
       bool_or(l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')) AS blocking
FROM pg_stat_activity a
JOIN pg_locks l ON l.pid = a.pid AND l.granted AND l.locktype = 'relation' AND l.mode <> 'AccessShareLock'
               AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
JOIN pg_class c ON c.oid = l.relation AND c.relnamespace = CAST('outbox' AS regnamespace)
WHERE a.state IN ('idle in transaction', 'idle in transaction (aborted)')
  AND a.state_change < clock_timestamp() - make_interval(secs => %(long)s) AND a.pid <> pg_backend_pid()
GROUP BY a.pid, a.usename, a.application_name, a.state_change, a.query
ORDER BY a.state_change LIMIT 5
"""
_LONG = 10.0


def look_at_held(patient: Patient) -> Iterator[Finding]:
    """Name those who hold locks on our tables, in a transaction in which they do nothing."""
    for held in patient.ask(_IDLE, long=_LONG):
        role, application = clean(held.role, 64), clean(held.application, 64)
        who = f"pid {held.pid} ({role}{f', {application}' if application else ''})"
        seconds = age(held.seconds)
        problem = f"{who} has been idle in a transaction for {seconds}, with locks on {held.tables}"
        remedy = f"SELECT pg_terminate_backend({held.pid})"
        details = {"pid": held.pid, "role": role, "seconds": round(held.seconds), "blocking": held.blocking}
        yield either(held.blocking, problem, remedy, aside=without_values(held.query), **details)


# Who waits for a row waits for its transaction, and holds a lock on its table meanwhile. pg_blocking_pids stops the
# lock manager for a moment, so it is asked about few, and about none who have just begun to wait.
_WAITING = """
SELECT waiting.pid, waiting.seconds, (pg_blocking_pids(waiting.pid))[1] AS blocker, waiting.query
FROM (
    SELECT DISTINCT ON (a.pid) a.pid, coalesce(a.query, '') AS query,
           date_part('epoch', clock_timestamp() - l.waitstart) AS seconds
    FROM pg_locks l
    JOIN pg_stat_activity a ON a.pid = l.pid AND a.datname = current_database()
    WHERE NOT l.granted AND l.waitstart < clock_timestamp() - make_interval(secs => %(long)s)
      AND EXISTS (
          SELECT FROM pg_locks held JOIN pg_class c ON c.oid = held.relation
          WHERE held.pid = l.pid AND held.locktype IN ('relation', 'tuple')
            AND c.relnamespace = CAST('outbox' AS regnamespace)
      )
    ORDER BY a.pid, l.waitstart LIMIT 5
) waiting
ORDER BY waiting.seconds DESC
"""
_WAITS_LONG, _WAITS_VERY_LONG = 2.0, 30.0


def look_at_waits(patient: Patient) -> Iterator[Finding]:
    """Name those who wait for a lock on our tables, and whom they wait for."""
    for wait in patient.ask(_WAITING, long=_WAITS_LONG):
        seconds = age(wait.seconds)
        problem = f"pid {wait.pid} has waited {seconds} for a lock that pid {wait.blocker} holds"
        remedy = f"SELECT pg_terminate_backend({wait.blocker})"
        details = {"pid": wait.pid, "blocker": wait.blocker, "seconds": round(wait.seconds)}
        yield either(wait.seconds > _WAITS_VERY_LONG, problem, remedy, aside=without_values(wait.query), **details)


CHECKS = (
    Check(
        "held-locks",
        "sessions that hold locks on the outbox's tables and are idle in a transaction, by pid",
        "migrations and retention wait for them, and everybody else behind those; what they enqueued is not sent",
        "`SELECT pg_terminate_backend(…)`; `idle_in_transaction_session_timeout`",
        "nobody holds a lock and does nothing",
        look_at_held,
    ),
    Check(
        "lock-waits",
        "sessions that have waited for a lock on the outbox's tables for 2 s and more, and for whom",
        "enqueues, claims or settlements stand still",
        "`SELECT pg_terminate_backend(…)` of the one who holds it",
        "nobody waits for a lock",
        look_at_waits,
    ),
)
