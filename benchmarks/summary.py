"""Medians and ranges, which are those of `outbox bench`, and rates by windows: what three rounds say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from outbox.bench.summary import Summary, percentile, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Summary", "by_window", "percentile", "summarise"]


def by_window(moments: Sequence[float], began: float, seconds: float, count: int) -> list[float]:
    """Return how many moments a second fell into each of `count` windows of `seconds` from `began` on."""
    totals = [0] * count
    for moment in moments:
        place = math.floor((moment - began) / seconds)
        if 0 <= place < count:
            totals[place] += 1
    return [total / seconds for total in totals]
