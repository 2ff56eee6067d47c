"""Two notifications and the two workers that both belong to: what is one step of the whole.

What happens to one notification is computed once, however often it happens beside another: states of one are numbers
here, and a state of the whole is two of them, with the mishaps that may still happen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tests.model import steps
from tests.model.guards import Guard
from tests.model.invariants import broken
from tests.model.state import ABSENT, WORKERS, Notification, canonical, mirrored
from tests.model.verbs import MISHAPS, TAKES, UNFAIR, Busy, busy, verbs_alone, verbs_shared, ways

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.steps import Rules

Whole: TypeAlias = int
"""Both notifications by their numbers, in bits: there are millions."""

_SECOND = 24
_ONE = (1 << _SECOND) - 1


class Half(NamedTuple):
    """What a step does to one of the two."""

    after: int
    broke: str | None
    verb: str
    worker: int | None = None
    how: str = ""
    mishaps: int = 0
    is_fair: bool = True
    """Nothing went wrong, and nobody chose it: it happens sooner or later."""


Pair: TypeAlias = "tuple[Half | None, Half | None]"
"""What a step did to the first and to the second, where it did anything."""

Move: TypeAlias = tuple[int, int, int, bool, str | None, Pair]
"""A step of the whole, to these two numbers: how many mishaps it is, whether it is fair, what it broke, what it was.

A plain tuple, like those of `_alone`: there are tens of millions.
"""

Alone: TypeAlias = tuple[int, int, bool, str | None, Pair, Pair]
"""The same of one alone; what it was, once as the first and once as the second."""


class Together:
    """The steps of the whole, under these rules."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        # History is forgotten because no claim has the number of an earlier one.
        self._forgets = Guard.CLAIM_COUNTS_UP not in rules.without
        self.ones: list[Notification] = []
        self._numbers: dict[Notification, int] = {}
        self._busy: list[tuple[Busy, Busy]] = []
        self._mirrors: list[int] = []
        self._known_alone: dict[tuple[int, tuple[Busy, Busy], bool], tuple[Alone, ...]] = {}
        self._known_shared: dict[int, dict[tuple[str, int], tuple[Half, ...]]] = {}
        self._known_halves: dict[tuple[str, int, int], tuple[Half, ...]] = {}
        self.absent = self.number(ABSENT)
        self.new = self.number(Notification())
        self.killer = self.number(Notification(kills=True))

    def number(self, one: Notification) -> int:
        """Return the number of a notification in canonical form."""
        number = self._numbers.setdefault(one, len(self.ones))
        if number == len(self.ones):
            self.ones.append(one)
            self._mirrors.append(-1)
            self._busy.append((busy(one, 0), busy(one, 1)))
        return number

    def known(self, one: Notification) -> Notification:
        """Return it in the form in which it is numbered."""
        return canonical(one) if self._forgets else one

    def whole(self, a: int, b: int) -> Whole:
        """Return the one form of all that differ only in who is called what."""
        mirrors = self._mirrors
        c, d = mirrors[a], mirrors[b]
        if c < 0 or d < 0:
            c, d = self._mirror(a), self._mirror(b)
        if a > b:
            a, b = b, a
        if c > d:
            c, d = d, c
        if c < a or (c == a and d < b):
            a, b = c, d
        return a << _SECOND | b

    @staticmethod
    def both(whole: Whole) -> tuple[int, int]:
        """Return both notifications' numbers."""
        return whole >> _SECOND, whole & _ONE

    def _mirror(self, number: int) -> int:
        mirror = self._mirrors[number]
        if mirror < 0:
            mirror = self._mirrors[number] = self.number(mirrored(self.ones[number]))
            self._mirrors[mirror] = number
        return mirror

    def moves(self, whole: Whole, *, may_fail: bool = True) -> Iterator[Move]:
        """Yield every step of the whole; without `may_fail`, those that are no mishaps."""
        a, b = self.both(whole)
        for after, mishaps, is_fair, broke, pair, _ in self._alone(a, self._busy[b], may_fail=may_fail):
            yield after, b, mishaps, is_fair, broke, pair
        if a != b:
            for after, mishaps, is_fair, broke, _, pair in self._alone(b, self._busy[a], may_fail=may_fail):
                yield a, after, mishaps, is_fair, broke, pair
        second = self._shared(b)
        if second:
            for what, halves in self._shared(a).items():
                if what in second and (may_fail or what[0] not in MISHAPS):
                    yield from self._joined((a, b), halves, second[what])

    def _joined(self, before: tuple[int, int], halves: tuple[Half, ...], others: tuple[Half, ...]) -> Iterator[Move]:
        """One statement, answer or accident that concerns both."""
        for one in halves:
            for other in others:
                if one.verb in TAKES and self._is_suspect(one) and self._is_suspect(other):
                    yield from self._quarantined(before, one, other)
                elif one.verb != "claim":
                    yield one.after, other.after, one.mishaps, one.is_fair, one.broke or other.broke, (one, other)

    def _is_suspect(self, half: Half) -> bool:
        assert half.worker is not None
        return self._busy[half.after][half.worker].suspect

    def _quarantined(self, before: tuple[int, int], one: Half, other: Half) -> Iterator[Move]:
        """Of two suspects that come at once the feeder keeps one."""
        if Guard.FEEDER_KEEPS_ONE_SUSPECT in self.rules.without:
            yield one.after, other.after, 0, True, one.broke or other.broke, (one, other)
            return
        assert one.worker is not None
        for back in self._halves(one.verb + ", too many", one.worker, before[0]):
            yield back.after, other.after, 0, True, back.broke or other.broke, (back, other)
        for back in self._halves(one.verb + ", too many", one.worker, before[1]):
            yield one.after, back.after, 0, True, one.broke or back.broke, (one, back)

    def _alone(self, number: int, beside: tuple[Busy, Busy], *, may_fail: bool) -> tuple[Alone, ...]:
        """What may happen to this one while the other is as it is; the workers are about this with the other."""
        key = number, beside, may_fail
        known = self._known_alone.get(key)
        if known is None:
            halves = list(self._of_itself(number, may_fail=may_fail))
            for worker in WORKERS:
                here = self._busy[number][worker]
                for verb in verbs_alone(here, beside[worker]):
                    if may_fail or verb not in MISHAPS:
                        halves += self._halves(verb, worker, number)
            known = self._known_alone[key] = tuple(
                (half.after, half.mishaps, half.is_fair, half.broke, (half, None), (None, half))
                for half in halves
                if half.after != number or half.broke
            )
        return known

    def _of_itself(self, number: int, *, may_fail: bool) -> tuple[Half, ...]:
        key = "", int(may_fail), number
        if key not in self._known_halves:
            one = self.ones[number]
            self._known_halves[key] = tuple(
                Half(
                    self.number(self.known(step.after)),
                    broken(one, step.after, self.rules),
                    step.does,
                    step.worker,
                    mishaps=step.mishaps,
                    is_fair=not (step.mishaps or step.is_chosen),
                )
                for step in steps.alone(one, self.rules, may_fail=may_fail)
            )
        return self._known_halves[key]

    def _shared(self, number: int) -> dict[tuple[str, int], tuple[Half, ...]]:
        """What one step may do to this one and to the other at once."""
        known = self._known_shared.get(number)
        if known is None:
            known = self._known_shared[number] = {}
            for worker in WORKERS:
                here = self._busy[number][worker]
                beside_a_killer = self.rules.killer and not self.ones[number].kills
                for verb in verbs_shared(here, is_beside_a_killer=beside_a_killer):
                    if halves := self._halves(verb, worker, number):
                        known[verb, worker] = halves
        return known

    def _halves(self, verb: str, worker: int, number: int) -> tuple[Half, ...]:
        key = verb, worker, number
        known = self._known_halves.get(key)
        if known is None:
            known = self._known_halves[key] = tuple(self._ways(verb, worker, self.ones[number]))
        return known

    def _ways(self, verb: str, worker: int, one: Notification) -> Iterator[Half]:
        for how, way in ways(verb, worker, one, self.rules):
            broke = None
            for before, after in zip((one, *way), way, strict=False):
                broke = broke or broken(before, after, self.rules)
            number = self.number(self.known(way[-1]))
            yield Half(number, broke, verb, worker, how, int(verb in MISHAPS), verb not in UNFAIR)
