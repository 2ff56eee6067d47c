"""marks: how far back a claim has to look.

Under a snapshot that somebody holds open (a backup, a forgotten psql) PostgreSQL can remove nothing that was claimed or
settled since, and a claim that looks from the beginning walks over all of it. So each claim begins where earlier ones
left nothing behind, less a slack for transactions that commit a little late. What is older all the same (committed
later, replayed, moved, skipped while somebody had it locked, left by a worker that vanished) is found by a sweep, which
looks at everything.
"""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.queue.claim import Claimed

SLACK = 0.1
"""Seconds between the run_at of a row and its commit that cost it nothing."""
LONGEST_UNSWEPT = 5.0
"""Seconds that anything due may go unseen, whatever a sweep costs."""
# What sweeps cost beyond what any claim costs may take this share of the time. Where nothing holds a snapshot it is
# next to nothing, so that every other claim is a sweep, and what a vanished worker held is found as soon as it is due.
# Where they cost ten times as much as other claims, they are rarer than one claim in a hundred.
_SHARE = 1 / 100
_MEMORY = 4  # of each kind; the least of them counts, because a busy machine makes any one of them slow
_LEVEL_AND_WAIT = attrgetter("priority", "waited")
_UNKNOWN = 0.1  # seconds until the second sweep, as long as nothing is known of other claims


class Marks:
    """One channel's, by priority level. All times are `time.monotonic()`, and only ages go to the database."""

    def __init__(self) -> None:
        self._marks: dict[int, float] = {}
        self._next_sweep = 0.0
        self._sweeps: deque[float] = deque(maxlen=_MEMORY)
        self._others: deque[float] = deque(maxlen=_MEMORY)
        self.was_sweep = False
        """Whether the last claim looked at everything."""

    def sweep_next(self) -> None:
        """Have the next claim look at everything."""
        self._next_sweep = 0.0

    def ages(self, levels: Sequence[int], now: float) -> list[float | None]:
        """Return how many seconds back to look on each level; None is all the way."""
        self.was_sweep = now >= self._next_sweep
        if self.was_sweep:
            return [None] * len(levels)
        return [now - self._marks[level] + SLACK if level in self._marks else None for level in levels]

    def found(self, rows: Sequence[Claimed], levels: Sequence[int], limit: int, asked_at: float, now: float) -> None:
        """Note what a claim of `levels` brought that was asked for at `asked_at`: nothing older than that is left.

        If it brought as many as it might, that holds for the levels before the last one it reached; there, what is
        older than the last row is gone. Of the levels behind it, a sweep that came no further has seen nothing: the
        next claim that comes so far looks all the way back there, or what is old in them would wait for a sweep that
        is not full.
        """
        self._time(now - asked_at, now)
        waits = dict(map(_LEVEL_AND_WAIT, rows)) if len(rows) >= limit else {}  # of the last row of each level
        reached = {level: asked_at - waited for level, waited in waits.items()}
        ahead = set(reached)
        for position, level in enumerate(levels, 1):
            ahead.discard(level)
            if level in reached and not ahead:
                self._marks[level] = reached[level]
                for behind in levels[position:] if self.was_sweep else ():
                    self._marks.pop(behind, None)
                return
            self._marks[level] = asked_at

    def _time(self, took: float, now: float) -> None:
        """Note what a claim cost. Between two sweeps lies what one takes, or nothing would be known of other claims."""
        if not self.was_sweep:
            self._others.append(took)
            return
        self._sweeps.append(took)
        pause = (min(self._sweeps) - min(self._others)) / _SHARE if self._others else _UNKNOWN
        self._next_sweep = now + min(max(pause, took), LONGEST_UNSWEPT)
