"""How long things took, as a histogram that can be added to another: small enough to be told every few seconds.

The n-th number counts those of at most `2^((n-1)/2)` milliseconds that the one before it does not: 1 ms, 1.4 ms, 2 ms,
… 93 s, and the last one all that took longer. So a quantile of the sum of any of them is right to within a fifth.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BOUNDS = tuple(0.001 * 2 ** (power / 2) for power in range(34))
"""Seconds: the greatest that each number but the last counts."""


def bucket(seconds: float) -> int:
    """Return the place of the number that counts what took so long."""
    return bisect_left(BOUNDS, seconds)


def merged(histograms: Iterable[Sequence[int]]) -> list[int]:
    """Return the sum of histograms; one that ends early has zeros there."""
    total: list[int] = []
    for histogram in histograms:
        total = [first + second for first, second in zip_longest(total, histogram, fillvalue=0)]
    return total


def trimmed(histogram: Sequence[int]) -> list[int]:
    """Return it without the zeros at its end."""
    length = max((place + 1 for place, count in enumerate(histogram) if count), default=0)
    return list(histogram[:length])


def quantile(histogram: Sequence[int], share: float) -> float | None:
    """Return within how many seconds so great a share (0.99) of them was done; None if there are none.

    Those that one number counts are taken to lie evenly between its bounds; what took longer than all, at the last.
    """
    wanted = share * sum(histogram)
    seen = 0
    for place, count in enumerate(histogram):
        if count and seen + count >= wanted:
            if place >= len(BOUNDS):
                return BOUNDS[-1]
            low = BOUNDS[place - 1] if place else 0.0
            return low + (BOUNDS[place] - low) * max(wanted - seen, 0.0) / count
        seen += count
    return None
