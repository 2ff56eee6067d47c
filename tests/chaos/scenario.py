"""What a scenario is: a function that is given a stage, and the list of all of them."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from tests.chaos import scenarios

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.stage import Stage

    Play = Callable[[Stage], None]


@dataclass(frozen=True)
class Scenario:
    """One thing that goes wrong. `own_cluster`: it starts a server of its own, so that none is made ready for it.

    `gap` says what is missing, where a target is known to be missed.
    """

    number: int
    title: str
    play: Play
    own_cluster: bool = False
    gap: str = ""

    def __str__(self) -> str:
        return f"{self.number}. {self.title}"


_all: dict[int, Scenario] = {}


def scenario(number: int, title: str, *, own_cluster: bool = False, gap: str = "") -> Callable[[Play], Play]:
    """Register the function below as the scenario of this number."""

    def register(play: Play) -> Play:
        taken = _all.get(number)
        if taken is not None and taken.play.__module__ != play.__module__:
            raise ValueError(f"{number} is taken by {taken.play.__module__}")
        _all[number] = Scenario(number, title, play, own_cluster, gap)
        return play

    return register


def every_scenario() -> list[Scenario]:
    """Return all scenarios by number: those of every module in `tests/chaos/scenarios`."""
    for found in pkgutil.iter_modules(scenarios.__path__, f"{scenarios.__name__}."):
        import_module(found.name)
    return [_all[number] for number in sorted(_all)]
