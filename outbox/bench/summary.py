"""Medians, ranges and percentiles: what several rounds say."""

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

    @property
    def spread(self) -> float:
        """How far the least and the greatest lie apart, as a share of the median."""
        return (self.high - self.low) / self.middle if self.middle else 0.0


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
