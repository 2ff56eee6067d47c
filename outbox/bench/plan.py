"""How much is measured, and what that does to a server, before anything is done to it."""

from __future__ import annotations

from dataclasses import dataclass

_WAL = 1_400  # bytes a notification, from its enqueue to its end, as docs/benchmarks.md has it; here and below
_TABLES = 1_100
_SINGLE = 2_000  # enqueues a second, of each client: more than most disks let through
_NEW_DATABASE = 24 * 1_048_576  # the catalog's copy, and the migrations
_WORKER_CONNECTIONS = 4  # at most: one of them only while there are chores
_STARTS = 2.5  # seconds: making the database, and migrating it
_ROUND_OF_DRAINS = 3.5  # seconds: two fills, three starts of workers, two drains of 10,000

PROCESSES = (1, 2)
"""How many worker processes drain, in turns."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    seconds: float
    """About how long all of it takes."""
    notifications: int
    """In each full queue."""
    clients: int
    rounds: int
    rate: float
    """Notifications a second while latency is measured."""
    concurrency: int
    provider: float

    @property
    def looking(self) -> float:
        """Seconds of `SELECT 1`, each round."""
        return self.seconds / 100

    @property
    def writing(self) -> float:
        """Seconds of small transactions, each round; and below, of enqueues by one client, and by several."""
        return self.seconds / 50

    @property
    def enqueueing(self) -> float:
        """Seconds of single enqueues, each round, twice."""
        return self.seconds / 30

    @property
    def flowing(self) -> float:
        """Seconds of steady enqueues."""
        return self.seconds / 6

    @property
    def limit(self) -> float:
        """Seconds after which a full queue is not waited for: it then counts as far as it came."""
        return max(self.seconds / 3, 5.0)

    @property
    def connections(self) -> int:
        """How many connections it holds at most."""
        return 1 + self.clients + _WORKER_CONNECTIONS * max(PROCESSES)

    @property
    def duration(self) -> float:
        """Return about how many seconds it takes, where nothing is slow."""
        timed = self.rounds * (self.looking + self.writing + 2 * self.enqueueing) + self.flowing
        return _STARTS + timed + self.rounds * _ROUND_OF_DRAINS * max(self.notifications / 10_000, 0.5)

    @property
    def steps(self) -> int:
        """How many things it does in turn: of the floor, enqueues, fills and drains; and three besides."""
        return 3 + self.rounds * (2 + len({1, self.clients}) + 2 * len(PROCESSES))

    @property
    def most(self) -> int:
        """How many notifications it enqueues, about, and rather too many than too few."""
        single = self.rounds * self.enqueueing * _SINGLE * 2
        return round(self.rounds * len(PROCESSES) * self.notifications + single + self.rate * self.flowing)

    @property
    def wal(self) -> int:
        """About how many bytes of WAL that makes."""
        return _NEW_DATABASE + self.most * _WAL

    @property
    def tables(self) -> int:
        """About how many bytes on the disk, until the database is dropped."""
        return _NEW_DATABASE + self.most * _TABLES
