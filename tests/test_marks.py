from __future__ import annotations

from uuid import uuid4

import pytest

from outbox.queue.claim import Claimed
from outbox.worker.marks import LONGEST_UNSWEPT, SLACK, Marks

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
    assert marks.ages(LEVELS, 102.0) == [pytest.approx(2.0 + SLACK)] * 3


def test_a_full_claim_says_nothing_of_the_levels_behind_the_one_it_reached() -> None:
    marks = after_a_sweep(row(0, 3.0), row(5, 2.0), limit=2)
    urgent, normal, bulk = marks.ages(LEVELS, 102.0)
    assert urgent == pytest.approx(2.0 + SLACK), "all urgent ones are gone"
    assert normal == pytest.approx(4.0 + SLACK), "what was due after the last one that was claimed may still be there"
    assert bulk is None


def test_a_full_sweep_is_finished_by_the_claims_that_get_behind_the_level_it_reached() -> None:
    marks = after_a_sweep()
    marks.sweep_next()
    marks.ages(LEVELS, 200.0)
    marks.found([row(5, 2.0)], LEVELS, 1, 200.0, 200.5)
    assert marks.ages(LEVELS, 201.0)[2] is None, "of bulk that came late it has seen nothing"
    marks.found([row(5, 1.0)], LEVELS, 1, 201.0, 201.1)
    assert marks.ages(LEVELS, 202.0)[2] is None, "nor has a claim that came no further"
    marks.found([row(8, 90.0)], LEVELS, 10, 202.0, 202.1)
    assert marks.ages(LEVELS, 203.0)[2] == pytest.approx(1.0 + SLACK)


def test_a_claim_from_the_bottom_up_says_nothing_of_the_levels_above() -> None:
    marks = Marks()
    marks.ages(LEVELS[::-1], 100.0)
    marks.found([row(5, 2.0), row(8, 1.0)], LEVELS[::-1], 2, 100.0, 101.0)
    assert marks.ages(LEVELS, 102.0) == [None, pytest.approx(4.0 + SLACK), pytest.approx(2.0 + SLACK)]


def test_sweeps_take_a_twentieth_of_the_time_but_come_every_five_seconds() -> None:
    quick = after_a_sweep(seconds=0.01)
    assert None not in quick.ages(LEVELS, 100.2)
    assert quick.ages(LEVELS, 100.22) == [None, None, None]
    slow = after_a_sweep(seconds=3.0)
    assert None not in slow.ages(LEVELS, 103 + LONGEST_UNSWEPT - 0.01)
    assert slow.ages(LEVELS, 103 + LONGEST_UNSWEPT) == [None, None, None]


def test_a_sweep_that_found_old_rows_moves_the_mark_back_to_them() -> None:
    marks = after_a_sweep()
    marks.ages(LEVELS, 200.0)
    marks.found([row(5, 150.0)], LEVELS, 1, 200.0, 201.0)
    assert marks.ages(LEVELS, 202.0)[1] == pytest.approx(152.0 + SLACK)
