"""The spaces that are searched: at full size, in a size for every `make test`, and one for each mutant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.guards import INSTEAD, Guard
from tests.model.search import search
from tests.model.steps import Rules

if TYPE_CHECKING:
    from tests.model.search import Found


class Space(NamedTuple):
    """What is searched. A mishap is a crash, a lapse, a slow or lost answer, a row locked by others, or a replay."""

    name: str
    rules: Rules = Rules()
    notifications: int = 2
    mishaps: int = 2

    def search(self) -> Found:
        """Go through all of it."""
        return search(self.rules, notifications=self.notifications, mishaps=self.mishaps)


KILLER = Space("2 workers x 2 notifications, one of which kills whoever sends it", Rules(killer=True), mishaps=0)

FULL = (
    Space("2 workers x 2 notifications x 3 attempts, 2 mishaps"),
    Space("2 workers x 1 notification x 3 attempts, 3 mishaps", notifications=1, mishaps=3),
    KILLER,
)

REDUCED = (
    Space("2 workers x 2 notifications x 3 attempts, 1 mishap", mishaps=1),
    Space("2 workers x 1 notification x 3 attempts, 2 mishaps", notifications=1),
    KILLER,
)


def without(guard: Guard) -> Space:
    """Return the space in which the mutant without this guard shows what it does."""
    absent = frozenset({guard, INSTEAD.get(guard, guard)})
    name = f"{guard.name}: {guard.where}: {guard.says}"
    if guard in {Guard.CLAIM_PASSES_BY_SUSPECTS, Guard.FEEDER_KEEPS_ONE_SUSPECT}:
        return Space(name, Rules(killer=True, without=absent), mishaps=0)
    return Space(name, Rules(attempts=2, without=absent), notifications=1)
