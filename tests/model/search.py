"""Search: all that can be reached, with the fewest mishaps first; and backwards from every end."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from tests.model.state import Hand
from tests.model.together import Together

if TYPE_CHECKING:
    from tests.model.steps import Rules
    from tests.model.together import Pair, Whole


class Event(NamedTuple):
    """One step of a run: both notifications after it, and what it did to them."""

    first: int
    second: int
    pair: Pair


@dataclass
class Found:
    """What a search found. `broke` is a promise that was broken, and `run` a shortest way to it."""

    rules: Rules
    world: Together
    states: int
    steps: int
    seconds: float
    """Of one core."""
    broke: str | None = None
    run: list[Event] = field(default_factory=list)


def search(rules: Rules, *, notifications: int = 2, mishaps: int = 2) -> Found:
    """Go through every state that can be reached with so many mishaps, until a promise is broken.

    Then see whether each can still end, by steps that happen of themselves: nothing is lost, and nothing hangs.
    """
    began = time.process_time()
    world = Together(rules)
    first = world.killer if rules.killer else world.new
    walk = _Walk(world, world.whole(first, world.new if notifications == 2 else world.absent))
    broke, run = None, []
    for left in range(mishaps, -1, -1):
        failure = walk.go_on(may_fail=left > 0)
        if failure is not None:
            broke, last = failure
            run = [*walk.way_to(walk.done), last]
            break
    else:
        hanging = walk.first_that_cannot_end()
        if hanging is not None:
            broke, run = "it can never end", walk.way_to(hanging)
    return Found(rules, world, len(walk.wholes), walk.steps, time.process_time() - began, broke, run)


class _Walk:
    """A walk through all states. Each is met first on a way with the fewest mishaps.

    Where it leads to on a way with more of them, and so with fewer left, need not be seen.
    """

    def __init__(self, world: Together, start: Whole) -> None:
        self._world = world
        self._numbers = {start: 0}
        self.wholes = [start]
        self._parents = array("i", [0])
        self._later: list[tuple[Whole, int]] = []
        self._fair = array("i")
        self._fair_until = array("i")
        self.done = 0
        self.steps = 0

    def go_on(self, *, may_fail: bool) -> tuple[str, Event] | None:
        """Meet all that one more mishap leads to, and all that follows of itself; return what broke, if anything."""
        world, numbers, wholes, fair = self._world, self._numbers, self.wholes, self._fair
        for whole, parent in self._later:
            if whole not in numbers:
                self._meet(whole, parent)
        self._later = later = []
        while self.done < len(wholes):
            for a, b, mishaps, is_fair, broke, pair in world.moves(wholes[self.done], may_fail=may_fail):
                self.steps += 1
                if broke is not None:
                    return broke, Event(a, b, pair)
                after = world.whole(a, b)
                if after not in numbers:
                    if mishaps:
                        later.append((after, self.done))
                        continue
                    self._meet(after, self.done)
                if is_fair:
                    fair.append(numbers[after])
            self._fair_until.append(len(fair))
            self.done += 1
        return None

    def _meet(self, whole: Whole, parent: int) -> None:
        self._numbers[whole] = len(self.wholes)
        self.wholes.append(whole)
        self._parents.append(parent)

    def first_that_cannot_end(self) -> int | None:
        """Return the first state from which no end can be reached, if there is one."""
        until, fair = self._fair_until, self._fair
        can = bytearray(all(map(self._is_over, self._world.both(whole))) for whole in self.wholes)
        before = -1
        while before != (before := sum(can)):
            # Backwards, since most steps lead to what was found later: a few turns are enough.
            for number in range(len(can) - 1, -1, -1):
                since = until[number - 1] if number else 0
                if not can[number] and any(can[after] for after in fair[since : until[number]]):
                    can[number] = 1
        return can.find(0) if before < len(can) else None

    def _is_over(self, number: int) -> bool:
        one = self._world.ones[number]
        nothing_in_hand = one.hands == (Hand(), Hand()) and not one.witness.judged
        return one.stage != "open" and one.tables.row is None and nothing_in_hand

    def way_to(self, number: int) -> list[Event]:
        """Return the steps from the start to this state."""
        way = [number]
        while way[-1]:
            way.append(self._parents[way[-1]])
        return [self._event(before, self.wholes[after]) for before, after in pairwise(reversed(way))]

    def _event(self, before: int, after: Whole) -> Event:
        moves = self._world.moves(self.wholes[before])
        return next(Event(a, b, pair) for a, b, _, _, _, pair in moves if self._world.whole(a, b) == after)
