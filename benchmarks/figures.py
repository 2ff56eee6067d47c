"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.summary import Summary

_DIGITS = 3


def figure(number: float) -> str:
    """Return a number with three digits that count, and commas: 36,800, 1.31, 0.004."""
    if number == 0:
        return "0"
    places = _DIGITS - 1 - math.floor(math.log10(abs(number)))
    rounded = round(number, places)
    return f"{rounded:,.{max(places, 0)}f}"


def with_range(summary: Summary | None) -> str:
    """Return the median, and the range behind it where there is one."""
    if summary is None:
        return "–"
    if figure(summary.low) == figure(summary.high):
        return figure(summary.middle)
    return f"{figure(summary.middle)} ({figure(summary.low)}–{figure(summary.high)})"
