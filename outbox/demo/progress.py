"""How far the demo is, in numbers: read from the database and from the mail server's ledger, many times a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

_COUNTS = """
SELECT count(*) FILTER (WHERE outcome = 'retry'), count(*) FILTER (WHERE outcome = 'ambiguous'),
       count(*) FILTER (WHERE outcome = 'lost'), (SELECT count(*) FROM outbox.dead_letters),
       (SELECT count(*) FROM outbox.queue)
FROM outbox.attempts
"""

_WORKERS = """
SELECT w.id, w.pid, 'email' = ANY (w.idle),
       (SELECT count(*) FROM outbox.queue q WHERE q.worker = w.id AND q.leased_until > clock_timestamp())
FROM outbox.workers w
ORDER BY w.id
"""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker as the database knows it; a killed one stays on the list until it is swept off."""

    id: int
    pid: int
    idle: bool
    in_hand: int


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at everything."""

    retries: int
    ambiguous: int
    lost: int
    dead: int
    waiting: int
    """Notifications that have not ended."""
    workers: Sequence[WorkerState]
    tried: int
    """Signups that are over, committed or rolled back."""
    committed: int
    accepted: int
    """Notifications that the mail server has received, each counted once."""


def look(conn: psycopg.Connection[Any], *, tried: int, committed: int, accepted: int) -> Progress:
    """Ask the database, on a connection in autocommit mode."""
    retries, ambiguous, lost, dead, waiting = conn.execute(_COUNTS).fetchone() or (0, 0, 0, 0, 0)
    workers = [WorkerState(*row) for row in conn.execute(_WORKERS)]
    return Progress(retries, ambiguous, lost, dead, waiting, workers, tried, committed, accepted)
