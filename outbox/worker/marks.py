"""marks: how far back a claim has to look.

Under a snapshot that somebody holds open (a backup, a forgotten psql) PostgreSQL can remove nothing that was claimed or
settled since, and a claim that looks from the beginning walks over all of it. So each claim begins where earlier ones
left nothing behind, less a slack for transactions that commit a little late. What is older all the same (committed
later, replayed, moved, skipped while somebody had it locked, left by a worker that vanished) is found by a look back
over what is recent, and whatever is older still by a sweep, which looks at everything.
"""

from __future__ import annotations

from collections import deque
from math import inf, isinf
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.queue.claim import Claimed

SLACK = 0.1
"""Seconds between the run_at of a row and its commit that cost it nothing."""
RECENT = 40.0
"""Seconds between the two that cost it no more than `LONGEST_UNSEEN`."""
LONGEST_UNSEEN = 5.0
"""Seconds that anything which fell due in the last `RECENT` may go unseen, whatever it costs to look."""
LONGEST_UNSWEPT = 60.0
"""Seconds that anything due may go unseen, whatever a sweep costs."""
# What looks back cost beyond what any claim costs may take this share of the time, and what sweeps cost as much again.
# Where nothing holds a snapshot a sweep costs next to nothing, so that every other claim is one, and what a vanished
# worker held is found as soon as it is due. Where one costs ten times as much as other claims, it is rarer than one
# claim in a hundred; but it comes every 5 s for as long as that takes no more than the larger share. After an hour at
# 3,000 a second under one snapshot, a sweep takes seconds.
_SHARE = 1 / 100
_LARGEST_SHARE = 1 / 40
_MEMORY = 4  # of each kind; the least of them counts, because a busy machine makes any one of them slow
_LEVEL_AND_WAIT = attrgetter("priority", "waited")
_UNKNOWN = 0.001  # seconds that one is taken to cost, as long as nothing is known of other claims


class _Kind:
    """Claims that look equally far back: at least so many seconds. `longest` is how long they may be put off."""

    def __init__(self, depth: float, longest: float) -> None:
        self.depth = depth
        self.longest = longest
        self.next = 0.0
        self.took: deque[float] = deque(maxlen=_MEMORY)


class Marks:
    """One channel's, by priority level. All times are `time.monotonic()`, and only ages go to the database."""

    def __init__(self) -> None:
        self._marks: dict[int, float] = {}
        self._sweeps = _Kind(inf, LONGEST_UNSWEPT)
        self._looks = _Kind(RECENT, LONGEST_UNSEEN)
        self._others = _Kind(0.0, 0.0)
        self._last = self._others

    @property
    def was_sweep(self) -> bool:
        """Whether the last claim looked at everything."""
        return self._last is self._sweeps

    def sweep_next(self) -> None:
        """Have the next claim look at everything."""
        self._sweeps.next = 0.0

    def ages(self, levels: Sequence[int], now: float) -> list[float | None]:
        """Return how many seconds back to look on each level; None is all the way."""
        kinds = self._sweeps, self._looks
        self._last = next((kind for kind in kinds if now >= kind.next), self._others)
        ages = (max(now - self._marks.get(level, -inf) + SLACK, self._last.depth) for level in levels)
        return [None if isinf(age) else age for age in ages]

    def found(self, rows: Sequence[Claimed], levels: Sequence[int], limit: int, asked_at: float, now: float) -> None:
        """Note what a claim of `levels` brought that was asked for at `asked_at`: nothing older than that is left.

        If it brought as many as it might, that holds for the levels before the last one it reached; there, what is
        older than the last row is gone. Of the levels behind it, a sweep that came no further has seen nothing: the
        next claim that comes so far looks as far back there, or what is old in them would wait for a sweep that is not
        full.
        """
        self._time(now - asked_at, now)
        waits = dict(map(_LEVEL_AND_WAIT, rows)) if len(rows) >= limit else {}  # of the last row of each level
        reached = {level: asked_at - waited for level, waited in waits.items()}
        ahead = set(reached)
        for position, level in enumerate(levels, 1):
            ahead.discard(level)
            if level in reached and not ahead:
                self._marks[level] = reached[level]
                for behind in levels[position:]:
                    self._marks[behind] = min(self._marks.get(behind, -inf), asked_at - self._last.depth)
                return
            self._marks[level] = asked_at

    def _time(self, took: float, now: float) -> None:
        """Note what a claim cost. Between two of a kind lies what one takes, or nothing would be known of others."""
        self._last.took.append(took)
        if self._last is self._others:
            return
        others = self._others.took
        cost = min(self._last.took) - min(others) if others else _UNKNOWN
        pause = max(cost / _SHARE, took)
        for kind in {self._last, self._looks}:  # a sweep sees what a look would
            kind.next = now + min(pause, max(cost / _LARGEST_SHARE, LONGEST_UNSEEN), kind.longest)
