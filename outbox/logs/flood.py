"""flood: where deliveries fail by the thousand a second, the first of each second are logged, and the others counted.

Each of them is in the table of attempts. To write of each takes as long as to deliver it, and would slow the rest down.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class NotLogged:
    """In one second more was to be told of single notifications than is logged: how much more, by what it was."""

    kinds: Mapping[str, int]


class Flood:
    """Lets `most` a second by; with 0, all."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._until = 0.0
        self._passed = 0
        self._kept_back: Counter[str] = Counter()

    def lets_by(self, kind: str) -> bool:
        """Tell whether this one is to be logged."""
        if not self._most:
            return True
        if self._clock() >= self._until:
            self._until, self._passed = self._clock() + 1, 0
        self._passed += 1
        if self._passed <= self._most:
            return True
        self._kept_back[kind] += 1
        return False

    def sum_up(self, *, at_once: bool = False) -> NotLogged | None:
        """Return what was kept back in a second that is over, or until now, if anything was."""
        if not self._kept_back or not (at_once or self._clock() >= self._until):
            return None
        told = NotLogged(dict(self._kept_back))
        self._kept_back.clear()
        return told
