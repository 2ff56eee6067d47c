"""A histogram of latencies as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.bench.figures import lasting
from outbox.latencies import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WIDTH = 40


def bars(histogram: Sequence[int], ink: str) -> Iterator[str]:
    """Return a line for each step of time from the first that has any to the last: `≤ 2.8 ms  ████  312`."""
    first = next((place for place, count in enumerate(histogram) if count), len(histogram))
    most = max(histogram, default=0)
    for place in range(first, len(histogram)):
        count = histogram[place]
        step = f"≤ {lasting(BOUNDS[place])}" if place < len(BOUNDS) else f"> {lasting(BOUNDS[-1])}"
        length = max(round(count / most * _WIDTH), 1) if count else 0
        yield f"  {step:>8}  {ink * length:<{_WIDTH}}  {count:,}"
