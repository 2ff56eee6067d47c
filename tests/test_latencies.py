"""Histograms of durations: what is added up says the same as what was counted together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.latencies import BOUNDS, bucket, merged, quantile, trimmed

SECONDS = st.lists(st.floats(0.0011, 90), min_size=1, max_size=200)


def counted(durations: list[float]) -> list[int]:
    histogram = [0] * (len(BOUNDS) + 1)
    for seconds in durations:
        histogram[bucket(seconds)] += 1
    return histogram


@given(SECONDS, st.floats(0.01, 1))
def test_a_quantile_lies_within_the_bounds_of_the_duration_that_it_is(durations: list[float], share: float) -> None:
    found = quantile(counted(durations), share)
    wanted = share * len(durations)
    exact = next(each for place, each in enumerate(sorted(durations), 1) if place >= wanted)
    assert found is not None
    assert exact / 1.42 <= found <= exact * 1.42


@given(st.lists(SECONDS, min_size=1, max_size=5))
def test_what_is_added_up_is_what_would_have_been_counted_together(some: list[list[float]]) -> None:
    together = counted([each for durations in some for each in durations])
    assert trimmed(together) == trimmed(merged(trimmed(counted(durations)) for durations in some))


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantile([], 0.5) is None
    assert quantile([0, 0], 0.99) is None
    assert trimmed([0, 0]) == []
    assert merged([]) == []


@pytest.mark.parametrize("seconds", [93.0, 86_400.0])
def test_what_takes_longer_than_all_bounds_is_told_as_the_last(seconds: float) -> None:
    assert quantile(counted([seconds]), 0.5) == BOUNDS[-1]


def test_what_takes_no_time_is_in_the_first() -> None:
    assert bucket(0.0) == bucket(-0.1) == bucket(0.001) == 0
    assert bucket(0.0011) == 1
