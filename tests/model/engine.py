"""The real one, in the words of the model: its connections, its tables, and what a worker can say of a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from outbox import outcomes
from tests.hands import TROUBLE
from tests.model.database import Outcome, Row

if TYPE_CHECKING:
    import asyncio
    from uuid import UUID

    from outbox.queue.claim import Claimed
    from tests.model.lines import One

LONG = 3_600.0
"""Seconds that no test takes: what is due after so long is due when a test says so."""

_FAILED: dict[str, Any] = {"provider": "smtp", "failure": TROUBLE}
ENDINGS: list[tuple[outcomes.Outcome, Outcome]] = [
    (outcomes.Sent(provider="smtp"), Outcome("sent")),
    (outcomes.Retry(**_FAILED, delay=LONG), Outcome("retry", again="later")),
    (outcomes.Retry(**_FAILED, delay=0.0), Outcome("retry", again="at once")),
    (outcomes.Dead(**_FAILED, reason="rejected"), Outcome("dead", letter=True)),
    (outcomes.Dead(failure=TROUBLE, reason="poison"), Outcome("dead", used=False, letter=True)),
    (outcomes.Ambiguous(**_FAILED, delay=LONG), Outcome("ambiguous", again="later")),
    (outcomes.Ambiguous(**_FAILED, reason="in_doubt"), Outcome("ambiguous", letter=True)),
    (outcomes.Deferred(failure=TROUBLE, delay=0.0), Outcome("deferred", used=False, again="at once")),
    (outcomes.Deferred(failure=TROUBLE, delay=LONG), Outcome("deferred", used=False, again="later")),
    (outcomes.Expired(failure=TROUBLE), Outcome("expired", used=False)),
    (outcomes.Suppressed(failure=TROUBLE), Outcome("suppressed", used=False)),
]
"""What the worker says, and what it means."""

_EMPTIED = ("queue", "attempts", "dead_letters", "notifications", "idempotency_keys")
_QUEUE = """
SELECT id, claim, worker, greatest(run_at, leased_until) <= now(), attempt, lost, run_at = 'infinity' FROM outbox.queue
"""
_ATTEMPTS = "SELECT notification_id, claim, outcome FROM outbox.attempts"
_LETTERS = "SELECT notification_id, coalesce(resolution, 'open') FROM outbox.dead_letters"
_COME_DUE = """
UPDATE outbox.queue
SET run_at = clock_timestamp() - interval '1 ms',
    leased_until = CASE WHEN leased_until IS NOT NULL THEN clock_timestamp() - interval '1 ms' END
WHERE id = %s
"""


class Seen(NamedTuple):
    """What is committed: by id, the row and whether it is blocked; the attempts in order; the dead letter."""

    rows: dict[UUID, tuple[Row, bool]]
    attempts: dict[UUID, tuple[tuple[int, str], ...]]
    letters: dict[UUID, str]


@dataclass(eq=False)
class Taken:
    """What a worker has, or had, in its hands; `trusted` while it may believe that nobody else has it.

    A delivery has one `ending`, which is written again when nobody heard that it was written.
    """

    worker: int
    one: One
    claimed: Claimed
    trusted: bool = True
    ending: int | None = None
    written: bool = False
    """At least once; from then on, what the quick statement asks for may be there."""

    def is_valid(self) -> bool:
        row = self.one.tables.row
        return row is not None and (row.claim, row.worker) == (self.claimed.claim, self.worker)


class Engine:
    """A database with all who work on it, used again for each run.

    `work` and `renewals` are the workers', `sessions` those of applications whose transactions stay open, `app` that of
    one whose do not, and `locker` has a row locked. Nobody waits for a lock for long, and nothing here should.
    """

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.work = runner.run(psycopg.AsyncConnection.connect(url, autocommit=True, options="-c lock_timeout=3s"))
        self.renewals, self.app = self._connect(url, autocommit=True), self._connect(url)
        self.sessions, self.locker = [self._connect(url), self._connect(url)], self._connect(url)
        self._time = self._connect(url, autocommit=True)
        self._broom = self._connect(url, "-c session_replication_role=replica", autocommit=True)

    @staticmethod
    def _connect(url: str, options: str = "", *, autocommit: bool = False) -> psycopg.Connection[Any]:
        return psycopg.connect(url, autocommit=autocommit, options=f"-c lock_timeout=3s {options}")

    def close(self) -> None:
        """Close all connections."""
        for conn in (self.renewals, self.app, *self.sessions, self.locker, self._time, self._broom):
            conn.close()
        self.run(self.work.close())

    def clean(self) -> None:
        """Begin anew: nothing is open, and nothing is there."""
        for conn in (self.app, *self.sessions, self.locker):
            conn.rollback()
        self._broom.execute("; ".join(f"DELETE FROM outbox.{table}" for table in _EMPTIED).encode())

    def come_due(self, identity: UUID) -> None:
        """Let the time come for which a row waits, or its lease end."""
        self._time.execute(_COME_DUE, [identity])

    def lock(self, identity: UUID) -> None:
        """Lock a row until `locker` rolls back."""
        self.locker.execute("SELECT FROM outbox.queue WHERE id = %s FOR UPDATE", [identity])

    def see(self) -> Seen:
        """Return what is committed."""
        rows = {
            identity: (Row(claim, worker, due, attempt, lost), blocked)
            for identity, claim, worker, due, attempt, lost, blocked in self._time.execute(_QUEUE)
        }
        attempts: dict[UUID, tuple[tuple[int, str], ...]] = {}
        for identity, claim, outcome in sorted(self._time.execute(_ATTEMPTS)):
            attempts[identity] = (*attempts.get(identity, ()), (claim, outcome))
        return Seen(rows, attempts, dict(self._time.execute(_LETTERS).fetchall()))
