from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple
from uuid import uuid4

import pytest

from outbox.queue.claim import Claimed
from outbox.worker.marks import LONGEST_UNSEEN, LONGEST_UNSWEPT, RECENT, SLACK, Marks

LEVELS = (0, 5, 8)


def row(priority: int, waited: float) -> Claimed:
    identity = uuid4()
    return Claimed(identity, str(identity), age=waited, waited=waited, priority=priority)


def after_a_sweep(*found: Claimed, limit: int = 10, seconds: float = 1.0) -> Marks:
    """Marks after a sweep at 100 that took `seconds`."""
    marks = Marks()
    assert marks.ages(LEVELS, 100.0) == [None, None, None]
    marks.found(found, LEVELS, limit, 100.0, 100.0 + seconds)
    return marks


def test_after_nothing_more_was_found_only_what_came_since_is_looked_at() -> None:
    marks = after_a_sweep(row(0, 3.0), row(5, 2.0))
    assert marks.ages(LEVELS, 101.5) == [pytest.approx(1.5 + SLACK)] * 3


def test_a_full_claim_says_nothing_of_the_levels_behind_the_one_it_reached() -> None:
    marks = after_a_sweep(row(0, 3.0), row(5, 2.0), limit=2)
    urgent, normal, bulk = marks.ages(LEVELS, 101.5)
    assert urgent == pytest.approx(1.5 + SLACK), "all urgent ones are gone"
    assert normal == pytest.approx(3.5 + SLACK), "what was due after the last one that was claimed may still be there"
    assert bulk is None


def test_a_full_sweep_is_finished_by_the_claims_that_get_behind_the_level_it_reached() -> None:
    marks = after_a_sweep()
    marks.sweep_next()
    marks.ages(LEVELS, 200.0)
    marks.found([row(5, 2.0)], LEVELS, 1, 200.0, 200.5)
    assert marks.ages(LEVELS, 200.6)[2] is None, "of bulk that came late it has seen nothing"
    marks.found([row(5, 1.0)], LEVELS, 1, 200.6, 200.61)
    assert marks.ages(LEVELS, 200.7)[2] is None, "nor has a claim that came no further"
    marks.found([row(8, 90.0)], LEVELS, 10, 200.7, 200.71)
    assert marks.ages(LEVELS, 200.8)[2] == pytest.approx(0.1 + SLACK)


def test_a_claim_from_the_bottom_up_says_nothing_of_the_levels_above() -> None:
    marks = Marks()
    marks.ages(LEVELS[::-1], 100.0)
    marks.found([row(5, 2.0), row(8, 1.0)], LEVELS[::-1], 2, 100.0, 101.0)
    assert marks.ages(LEVELS, 101.5) == [None, pytest.approx(3.5 + SLACK), pytest.approx(1.5 + SLACK)]


def claims(marks: Marks, *, usual: float, sweep: float, look: float | None = None, seconds: float) -> _Began:
    """Claim again and again, at once, each time for what it costs; return when the sweeps and the looks back began."""
    now, ends, began = 1_000.0, 1_000.0 + seconds, _Began([], [])
    while now < ends:
        back = marks.ages(LEVELS, now)[0]
        if marks.was_sweep:
            began.sweeps.append(now)
            took = sweep
        elif back == RECENT:
            began.looks.append(now)
            took = usual if look is None else look
        else:
            took = usual
        marks.found([], LEVELS, 10, now, now + took)
        now += took
    return began


class _Began(NamedTuple):
    sweeps: list[float]
    looks: list[float]

    def pauses(self, took: float) -> list[float]:
        """Return the seconds between the ends and the beginnings of sweeps that took so long, but for the first."""
        return [later - earlier - took for earlier, later in pairwise(self.sweeps)][1:]


def test_sweeps_take_a_hundredth_of_the_time_beyond_what_any_claim_takes() -> None:
    sweeps, _ = claims(Marks(), usual=0.002, sweep=0.012, seconds=60)
    assert 0.008 < len(sweeps) * (0.012 - 0.002) / 60 <= 0.0105


def test_a_sweep_comes_every_minute_whatever_it_costs() -> None:
    began = claims(Marks(), usual=0.002, sweep=3.0, seconds=600)
    assert began.pauses(3.0) == pytest.approx([LONGEST_UNSWEPT] * (len(began.sweeps) - 2), abs=0.01)
    assert len(began.sweeps) > 8


@pytest.mark.parametrize(("cost", "pause"), [(0.06, 5.0), (0.12, 5.0), (0.25, 10.0), (1.0, 40.0)])
def test_a_sweep_comes_every_five_seconds_for_as_long_as_that_takes_a_fortieth_of_the_time(
    cost: float, pause: float
) -> None:
    began = claims(Marks(), usual=0.002, sweep=cost + 0.002, look=0.002, seconds=300)
    assert began.pauses(cost + 0.002) == pytest.approx([pause] * (len(began.sweeps) - 2), abs=0.01)
    assert len(began.sweeps) > 5


def test_what_is_recent_is_looked_at_every_five_seconds_whatever_that_costs() -> None:
    began = claims(Marks(), usual=0.002, sweep=3.0, look=0.5, seconds=600)
    seen = sorted([*began.looks, *(began + 3.0 for began in began.sweeps)])
    gaps = [later - earlier for earlier, later in pairwise(seen)][2:]
    assert max(gaps) < LONGEST_UNSEEN + 0.5 + 3.0 + 0.01, "a sweep may lie between"
    assert len(began.looks) > 80


def test_looks_back_take_a_hundredth_of_the_time_as_well() -> None:
    began = claims(Marks(), usual=0.002, sweep=3.0, look=0.012, seconds=600)
    assert 0.006 < len(began.looks) * (0.012 - 0.002) / 600 <= 0.0105


def test_a_look_back_that_is_full_is_finished_by_the_claims_that_get_behind_the_level_it_reached() -> None:
    marks = Marks()
    claims(marks, usual=0.002, sweep=3.0, look=0.5, seconds=10)
    now = 1_010.0 + LONGEST_UNSEEN
    assert marks.ages(LEVELS, now) == [RECENT] * 3
    marks.found([row(0, 2.0)], LEVELS, 1, now, now + 0.5)
    urgent, normal, _ = marks.ages(LEVELS, now + 1)
    assert urgent == pytest.approx(3.0 + SLACK)
    assert normal == pytest.approx(RECENT + 1 + SLACK)


def test_a_look_back_goes_no_less_far_than_any_claim() -> None:
    marks = Marks()
    claims(marks, usual=0.002, sweep=3.0, look=0.5, seconds=10)
    now = 1_010.0 + LONGEST_UNSEEN
    marks.ages(LEVELS, now)
    marks.found([row(5, 90.0)], LEVELS, 1, now, now + 0.5)
    urgent, normal, _ = marks.ages(LEVELS, now + 0.5 + LONGEST_UNSEEN)
    assert urgent == RECENT
    assert normal == pytest.approx(95.5 + SLACK)


def test_where_sweeps_cost_no_more_than_other_claims_every_other_claim_is_one() -> None:
    sweeps, looks = claims(Marks(), usual=0.002, sweep=0.002, seconds=10)
    assert looks == []
    assert len(sweeps) == pytest.approx(10 / 0.004, rel=0.02)


def test_a_claim_that_a_busy_machine_makes_slow_does_not_make_sweeps_seem_cheap() -> None:
    marks = Marks()
    claims(marks, usual=0.002, sweep=0.012, seconds=5)
    marks.ages(LEVELS, 2_000.0)
    marks.found([], LEVELS, 10, 2_000.0, 2_000.012)
    assert None not in marks.ages(LEVELS, 2_000.1)
    marks.found([], LEVELS, 10, 2_000.1, 2_000.9)
    assert None not in marks.ages(LEVELS, 2_000.95)
    marks.found([], LEVELS, 10, 2_000.95, 2_000.952)
    assert marks.ages(LEVELS, 2_001.1) == [None, None, None]
    marks.found([], LEVELS, 10, 2_001.1, 2_001.112)
    assert None not in marks.ages(LEVELS, 2_002.0)


def test_a_sweep_that_found_old_rows_moves_the_mark_back_to_them() -> None:
    marks = after_a_sweep()
    marks.ages(LEVELS, 200.0)
    marks.found([row(5, 150.0)], LEVELS, 1, 200.0, 201.0)
    assert marks.ages(LEVELS, 201.5)[1] == pytest.approx(151.5 + SLACK)
