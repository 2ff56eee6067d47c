"""What our sessions do in the database, looked at many times a second."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Self

import psycopg

_EVERY = 0.01
_IDLE_LIMIT = 0.1  # seconds: between two statements of one transaction every session is idle for a moment

# Whoever listens, and is idle, is in a transaction while PostgreSQL hands it what it has heard: one that says to have
# begun with the session's last statement.
_SESSIONS = """
SELECT pid, CASE WHEN state <> 'idle' THEN xact_start::text END, date_part('epoch', now() - xact_start),
       state LIKE 'idle in transaction%%' AND now() - state_change > make_interval(secs => %s),
       concat(coalesce(wait_event_type || ' ' || wait_event, 'on the CPU'), ', ', left(query, 80))
FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'outbox %%' AND backend_type = 'client backend'
"""


class Activity:
    """Use it as a context manager: it looks at the sessions of all workers from a thread of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
        self._transactions: dict[tuple[int, str], tuple[float, float]] = {}
        self.samples = 0
        self.most_sessions = 0
        """The most that were connected at once."""
        self.longest = 0.0
        """Seconds that the oldest transaction had been open when it was last seen."""
        self.longest_did = ""
        """What that one waited for when it was last seen, and the beginning of its statement."""
        self.idle = 0
        """How often a session was seen that kept a transaction open and did nothing."""
        self.idle_did = ""
        """The beginning of what the last such session had done."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def spans(self, began: float, ended: float) -> int:
        """Return how many transactions were open from `began` to `ended` (`time.monotonic()`), and before and after."""
        return sum(opened <= began and seen >= ended for opened, seen in self._transactions.values())

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY):
            with suppress(psycopg.OperationalError):  # the server may be killed meanwhile
                self._watch()

    def _watch(self) -> None:
        with psycopg.connect(self._url, autocommit=True, application_name="chaos activity") as conn:
            while not self._stopping.wait(_EVERY):
                asked_at = time.monotonic()
                found = conn.execute(_SESSIONS, [_IDLE_LIMIT]).fetchall()
                self.samples += 1
                self.most_sessions = max(self.most_sessions, len(found))
                for pid, transaction, age, idle, does in found:
                    if idle:
                        self.idle, self.idle_did = self.idle + 1, does
                    if transaction is not None:
                        self.longest, self.longest_did = max((self.longest, self.longest_did), (age, does))
                        opened, _ = self._transactions.get((pid, transaction), (asked_at - age, 0.0))
                        self._transactions[pid, transaction] = opened, asked_at
