"""The engine as a model: every promise holds in every state, and no guard can be taken away.

At full size: `python -m tests.model`.
"""

from __future__ import annotations

import re

import pytest

from tests.model.database import Row, Tables
from tests.model.guards import Guard
from tests.model.spaces import REDUCED, Space, without
from tests.model.state import Hand, Lease, Notification, canonical, mirrored
from tests.model.story import told


@pytest.mark.parametrize("space", REDUCED, ids=lambda space: space.name)
def test_every_promise_holds_in_every_state_that_can_be_reached(space: Space) -> None:
    found = space.search()
    assert found.broke is None, "\n".join(told(found))
    assert found.states > 500


@pytest.mark.parametrize("guard", Guard, ids=lambda guard: guard.name)
def test_without_any_one_guard_a_promise_breaks(guard: Guard) -> None:
    found = without(guard).search()
    assert found.broke is not None, f"nothing needs this guard: {guard.says}"
    lines = list(told(found))
    assert lines[-1].endswith(found.broke)
    numbered = [int(line[:4]) for line in lines if re.match(r" *\d+  ", line)]
    assert numbered == list(range(1, len(found.run) + 1)), "every step is told, and leads to the next"


@pytest.mark.parametrize("guard", [Guard.SETTLE_BY_TOKEN, Guard.TAKE_ADOPTS_THE_LAPSED], ids=lambda guard: guard.name)
def test_the_run_that_is_shown_is_as_short_as_can_be(guard: Guard) -> None:
    found = without(guard).search()
    shorter = without(guard)._replace(mishaps=0).search()
    assert shorter.broke is None, "it takes a mishap"
    assert len(found.run) <= 7


def test_states_that_differ_only_in_history_or_in_names_are_one() -> None:
    def after(claim: int, worker: int, lost: tuple[int, ...]) -> Notification:
        attempts = tuple((number, "retry") for number in lost)
        tables = Tables(Row(claim, worker, due=False), attempts)
        return Notification("committed", tables).with_hand(worker, Hand(held=Lease(claim)))

    young, old = canonical(after(1, 0, ())), canonical(after(7, 0, (1, 2, 6)))
    assert young == old
    assert canonical(mirrored(after(7, 1, (3,)))) == young
    assert canonical(after(7, 1, (3,))) != young


def test_the_same_search_finds_the_same() -> None:
    once, again = (Space("small", notifications=1, mishaps=1).search() for _ in range(2))
    assert (once.states, once.steps) == (again.states, again.steps)
    story, again_told = (list(told(without(Guard.SETTLE_BY_TOKEN).search())) for _ in range(2))
    assert story == again_told
