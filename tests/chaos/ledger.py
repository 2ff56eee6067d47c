"""The ledger: what was asked for, what the world received, what the database says, and where the three disagree.

In the manner of Jepsen's total-queue: what goes in must come out, and nothing else may.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterable

BUSINESS_TABLE = "CREATE TABLE IF NOT EXISTS public.orders (label text PRIMARY KEY)"

_IN_THE_QUEUE = {"scheduled", "blocked", "due", "leased", "retrying", "deferred"}
_NOT_SENT = {"dead", "expired", "suppressed", "cancelled"}
_ORDERS = "SELECT label FROM public.orders"
_NOTIFICATIONS = """
SELECT id::text, coalesce(group_key, id::text), state, date_part('epoch', greatest(created_at, run_at))
FROM outbox.status
"""
# A copy that repeats has to be on record: as a worker that vanished, as an outcome that nobody could know, as a send
# that the end of a grace cut off, or as two acceptances.
_EVIDENCE = """
SELECT notification_id::text FROM outbox.attempts
GROUP BY notification_id
HAVING bool_or(outcome IN ('lost', 'ambiguous') OR error_class = 'ambiguous')
    OR count(*) FILTER (WHERE outcome = 'sent') > 1
"""


@dataclass(frozen=True)
class Audit:
    """What the comparison found. Notifications are named by their ids, orders by their labels."""

    committed: int
    """Notifications that the database has."""
    delivered: int
    """Notifications that the sinks accepted at least once."""
    terminal: Counter[str]
    """The states that the database has them in."""
    lost: list[str]
    """Acknowledged and gone, a business row without its notification, or one that is over and did not arrive."""
    waiting: list[str]
    """In the queue still: the time that there was did not suffice."""
    phantom: list[str]
    """Delivered, or there, although never committed: rolled back, without a business row, or of nobody's making."""
    duplicated: dict[str, int]
    """Delivered more than once, with the number of copies beyond the first."""
    silent: list[str]
    """Of these, the ones that no row in `attempts` gives away."""
    uncertain: int
    """Commits of which the application never learned whether they happened."""
    late: list[str]
    """First delivered later than the limit after the commit or the time it was scheduled for."""

    @property
    def copies(self) -> int:
        """Deliveries beyond the first."""
        return sum(self.duplicated.values())


@dataclass
class Ledger:
    """What is written down while a scenario runs; every method may be called from any thread.

    An order is known by its label, which is its notification's `group_key`; where there is no order, a notification is
    its own label.
    """

    attempted: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    rolled_back: set[str] = field(default_factory=set)
    deliveries: Counter[str] = field(default_factory=Counter)
    first_at: dict[str, float] = field(default_factory=dict)
    """Seconds since 1970 at which a notification's first copy was accepted."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def attempt(self, labels: Iterable[str]) -> None:
        """Note that these are about to be enqueued."""
        with self._lock:
            self.attempted.update(labels)

    def acknowledge(self, labels: Iterable[object]) -> None:
        """Note that the application was told of their commit."""
        named = {str(label) for label in labels}
        with self._lock:
            self.attempted |= named
            self.acknowledged |= named

    def roll_back(self, labels: Iterable[str]) -> None:
        """Note that the application took these back, before they were committed."""
        with self._lock:
            self.rolled_back.update(labels)

    def deliver(self, identity: str) -> None:
        """Note that a sink accepted this notification, now."""
        with self._lock:
            self.deliveries[identity] += 1
            self.first_at.setdefault(identity, time.time())

    def audit(self, url: str, *, orders: bool = False, late_after: float | None = None) -> Audit:
        """Compare with the database. `orders`: each has a business row, or the notification is a phantom."""
        with psycopg.connect(url) as conn:
            booked = {row[0] for row in conn.execute(_ORDERS)} if orders else set()
            found = conn.execute(_NOTIFICATIONS).fetchall()
            evident = {row[0] for row in conn.execute(_EVIDENCE)}
        with self._lock:
            states = {identity: state for identity, _, state, _ in found}
            labels = {identity: label for identity, label, _, _ in found}
            there = set(labels.values())
            arrived = set(self.deliveries)
            waiting = [identity for identity, state in states.items() if state in _IN_THE_QUEUE]
            over = states.keys() - waiting
            received = {each for each in over if states[each] == "sent"} & arrived
            gone = [each for each in over - received if states[each] not in _NOT_SENT]
            unbooked = [name for name, label in labels.items() if orders and label not in booked]
            taken_back = [name for name, label in labels.items() if label in self.rolled_back]
            duplicated = {identity: count - 1 for identity, count in self.deliveries.items() if count > 1}
            limit = float("inf") if late_after is None else late_after
            return Audit(
                committed=len(found),
                delivered=len(arrived & states.keys()),
                terminal=Counter(states.values()),
                lost=sorted({*(self.acknowledged - there), *(booked - there), *gone}),
                waiting=waiting,
                phantom=sorted({*(arrived - states.keys()), *unbooked, *taken_back}),
                duplicated=duplicated,
                silent=sorted(duplicated.keys() - evident),
                uncertain=len(self.attempted - self.acknowledged - self.rolled_back),
                late=[name for name, _, _, due in found if self.first_at.get(name, due) - due > limit],
            )
