"""Durations, as written in the configuration and on the command line, and as shown to people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5_400),
        ("1h 30m", 5_400),
        (" 2d ", 172_800),
        ("1d2h3m4s5ms", 93_784.005),
        ("1.5h", 5_400),
        ("0s", 0),
        ("90", 90),
        ("0.5", 0.5),
        (30, 30),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_read_in_seconds(text: str | float, seconds: float) -> None:
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "abc", "30x", "30 seconds", "30M", "5m1h", "-5s", "1e3", "5,5s", "٣s", "1.s", True, None, []],
)
def test_what_is_not_a_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write it like 250ms, 30s, 5m, 1h30m or 2d"):
        durations.parse(text)


@pytest.mark.parametrize("number", [-1, -0.001, float("nan"), float("inf"), 10**400, "36501d", "9" * 500 + "d"])
def test_a_duration_is_neither_negative_nor_endless(number: str | float) -> None:
    with pytest.raises(ValueError, match="is not between nothing and a hundred years"):
        durations.parse(number)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (0.0004, "<1ms"),
        (0.25, "250ms"),
        (0.29, "290ms"),
        (1.5, "1s 500ms"),
        (30, "30s"),
        (59.9996, "59s 999ms"),
        (5_400, "1h 30m"),
        (3_600, "1h"),
        (86_700, "1d"),
        (90_061, "1d 1h"),
        (-90, "-1m 30s"),
    ],
)
def test_a_duration_is_described_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert durations.describe(seconds) == words


@given(st.floats(min_value=0.001, max_value=3e9))
def test_a_description_reads_back_as_no_more_and_nearly_as_much(seconds: float) -> None:
    back = durations.parse(durations.describe(seconds))
    assert back <= seconds + 1e-6
    assert back > seconds * 0.5
