"""household: the health of a supervisor, which answers for the worker processes that it keeps at work."""

from __future__ import annotations

import threading
import time
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.events import ProcessDied, ProcessesStopping, ProcessUnable
from outbox.routine_events import ProcessDrained
from outbox.worker.vitals import LONGEST_STAND, Check, Pulse

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from outbox.events import Event
    from outbox.members import Members
    from outbox.worker.vitals import Vitals

QUESTION = "health"
_EVERY, _PATIENCE = 1.0, 1.0
_TO_START = 60.0  # seconds: to import everything, beside others that do so too
_LATE = 5.0  # seconds that the next process may take longer to be started than was said


def teller(vitals: Vitals) -> Callable[[], list[Any]]:
    """Return what answers the supervisor's question."""
    return lambda: [vitals.live(), vitals.ready()]


class _Place(NamedTuple):
    """One process's: what it told last, and when; or until when it need not."""

    heard_at: float
    excused_until: float
    why: str
    live: Sequence[Check] = ()
    ready: Sequence[Check] = ()


class Household:
    """The health of all: a listener to the supervisor's events, which asks each process once a second."""

    def __init__(self, members: Members, count: int) -> None:
        self.pulse = Pulse()
        self._members = members
        self._count = count
        self._places: dict[int, _Place] = {}
        self._reason: str | None = None
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Note what it says of the processes."""
        match event:
            case ProcessDied(number, _, ending, pause):
                now = time.monotonic()
                self._put(number, _Place(now, now + pause + _LATE, f"{ending}: another takes its place"))
            case ProcessDrained(number):
                self._put(number, _Place(time.monotonic(), inf, "it has drained"))
            case ProcessUnable(_, _, ending):
                self._reason = f"a process {ending}"
            case ProcessesStopping(reason):
                self._reason = reason

    def attach(self, number: int) -> socket.socket:
        """Return the socket that the process in this place is to inherit: it is about to start."""
        now = time.monotonic()
        self._put(number, _Place(now, now + _TO_START, "it is starting"))
        return self._members.attach(number)

    def begin(self) -> None:
        """Ask them from now on, in a thread."""
        threading.Thread(target=self._watch, name="outbox health", daemon=True).start()

    def _watch(self) -> None:
        while True:
            before = dict(self._places)
            for number, told in self._members.ask(QUESTION, patience=_PATIENCE).items():
                if told is not None:
                    live, ready = ([Check(*check) for check in checks] for checks in told)
                    self._put(number, _Place(time.monotonic(), 0.0, "", live, ready), before.get(number))
            time.sleep(_EVERY)

    def _put(self, number: int, place: _Place, instead_of: _Place | None = None) -> None:
        """Note it; what was told by one that has died since is no news of the one `instead_of` whom it would stand."""
        with self._lock:
            if instead_of is None or self._places.get(number) is instead_of:
                self._places[number] = place

    def live(self) -> list[Check]:
        """The supervisor turns; each process lives, is about to be started, is being asked to stop, or has drained."""
        return [self.pulse.check(), *(self._live(number) for number in sorted(self._places))]

    def ready(self) -> list[Check]:
        """All processes are ready, and nobody has asked the supervisor to stop."""
        stopping = "nobody has asked it to" if self._reason is None else f"stopping: {self._reason}"
        return [
            self.pulse.check(),
            *(self._ready(number) for number in range(1, self._count + 1)),
            Check("stopping", self._reason is None, stopping),
        ]

    def _live(self, number: int) -> Check:
        place, name, now = self._places[number], f"process {number}", time.monotonic()
        if now < place.excused_until:
            return Check(name, ok=True, says=place.why)
        if self._reason is not None:
            return Check(name, ok=True, says="it is stopping, or has stopped")  # what is stuck is killed in the end
        silent = now - place.heard_at
        if silent > LONGEST_STAND:
            return Check(name, ok=False, says=f"has told nothing for {silent:.1f} s")
        return Check(name, all(check.ok for check in place.live), _said(place.live))

    def _ready(self, number: int) -> Check:
        place, name = self._places.get(number), f"process {number}"
        if place is None:
            return Check(name, ok=False, says="it is not started yet")
        if not place.ready:
            return Check(name, ok=False, says=place.why)
        silent = time.monotonic() - place.heard_at
        if silent > LONGEST_STAND:
            return Check(name, ok=False, says=f"has told nothing for {silent:.1f} s")
        return Check(name, all(check.ok for check in place.ready), _said(place.ready))


def _said(checks: Sequence[Check]) -> str:
    """Return what is amiss; else that nothing is."""
    return "; ".join(f"{check.name}: {check.says}" for check in checks if not check.ok) or "well"
