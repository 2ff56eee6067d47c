"""Medians and ranges: what three rounds say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Summary:
    """The median of some numbers, the least and the greatest."""

    middle: float
    low: float
    high: float


def summarise(numbers: Sequence[float]) -> Summary | None:
    """Return the summary of the numbers; None when there are none."""
    return Summary(median(numbers), min(numbers), max(numbers)) if numbers else None


def percentile(numbers: Sequence[float], percent: float) -> float:
    """Return the smallest of the numbers that at least `percent` of them do not exceed (the nearest-rank method).

    Raises:
        ValueError: there are no numbers.
    """
    if not numbers:
        raise ValueError("no numbers, no percentile")
    rank = math.ceil(len(numbers) * percent / 100)
    return sorted(numbers)[max(rank, 1) - 1]


def by_window(moments: Sequence[float], began: float, seconds: float, count: int) -> list[float]:
    """Return how many moments a second fell into each of `count` windows of `seconds` from `began` on."""
    totals = [0] * count
    for moment in moments:
        place = math.floor((moment - began) / seconds)
        if 0 <= place < count:
            totals[place] += 1
    return [total / seconds for total in totals]
