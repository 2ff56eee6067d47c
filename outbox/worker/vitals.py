"""vitals: whether a worker process lives, and whether it is ready, as it knows itself.

Nothing of this is asked for in the way of a notification: a second's tick of the event loop, and the few events that
tell of heartbeats, connections and stopping.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from outbox.events import DatabaseBack, DatabaseLost, WorkerStarted, WorkerStopping
from outbox.routine_events import Heartbeat
from outbox.worker.lifeline import every

if TYPE_CHECKING:
    import asyncio

    from outbox.events import Event

LONGEST_STAND = 10.0  # seconds for which an event loop may stand still and be called alive
_TICK = 1.0
_SLACK = 5.0  # seconds by which a heartbeat may be late
_LONGEST_SILENCE = 30.0  # seconds: a connection that says nothing is given up before that
_NEEDED = ("claim", "settle", "lifeline")  # without one of these connections a worker does not do its work


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    ok: bool
    says: str


class Pulse:
    """The event loop's: beats once a second from `begin` on."""

    def __init__(self) -> None:
        self._beat_at = time.monotonic()
        self._began = False

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Beat, for as long as the loop turns."""
        self._began = True
        self._beat_at = time.monotonic()
        loop.call_later(_TICK, self.begin, loop)

    def check(self) -> Check:
        """Tell whether the loop has turned lately. One that has not begun may take its time."""
        stood = time.monotonic() - self._beat_at
        says = f"turned {stood:.1f} s ago" if self._began else f"has not begun after {stood:.1f} s"
        return Check("loop", stood <= LONGEST_STAND or not self._began, says)


class Vitals:
    """One worker process's: a listener to what the worker, not what its deliveries, tell."""

    def __init__(self, lease: float) -> None:
        self.pulse = Pulse()
        self._every = every(lease)
        self._turned_at: float | None = None  # the lifeline, whether or not it reached the database
        self._reached_at: float | None = None
        self._lost: set[str] = set()
        self._reason: str | None = None

    def __call__(self, event: Event) -> None:
        """Note what it says of this process."""
        match event:
            case WorkerStarted() | Heartbeat():
                self._turned_at = self._reached_at = time.monotonic()
            case DatabaseLost(purpose):
                self._lost.add(purpose)
                if purpose == "lifeline":
                    self._turned_at = time.monotonic()
            case DatabaseBack(purpose):
                self._lost.discard(purpose)
            case WorkerStopping(_, reason):
                self._reason = reason

    def live(self) -> list[Check]:
        """Tell whether starting it again would mend anything. A database that is away does not count."""
        return [self.pulse.check(), self._lifeline()]

    def ready(self) -> list[Check]:
        """Tell whether it delivers: the database is there, its schema is right, and nobody has asked it to stop."""
        begun = self._reached_at is not None
        # A worker that finds a schema that will not do ends, with words of its own; one that has begun found it right.
        schema = "was found right" if begun else "has not been looked at"
        stopping = "nobody has asked it to" if self._reason is None else f"stopping: {self._reason}"
        return [
            self.pulse.check(),
            Check("schema", begun, schema),
            self._database(),
            Check("stopping", self._reason is None, stopping),
        ]

    def _lifeline(self) -> Check:
        if self._turned_at is None:
            return Check("lifeline", ok=True, says="has not begun: the database is waited for")
        silent = time.monotonic() - self._turned_at
        return Check("lifeline", silent <= 2 * self._every + _LONGEST_SILENCE, f"turned {silent:.1f} s ago")

    def _database(self) -> Check:
        lost = sorted(self._lost.intersection(_NEEDED))
        if self._reached_at is None:
            return Check("database", ok=False, says="was not reached yet")
        ago = time.monotonic() - self._reached_at
        if lost:
            return Check("database", ok=False, says=f"lost: {', '.join(lost)}; last heartbeat {ago:.1f} s ago")
        return Check("database", ago <= self._every + _SLACK, f"last heartbeat {ago:.1f} s ago")
