"""Moments, lengths of time, sizes and counts as people read them, on a terminal and on a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from outbox.durations import describe

if TYPE_CHECKING:
    from datetime import datetime

_STEP = 1_024


def moment(at: datetime, now: datetime) -> str:
    """Return a moment as people read it: by the clock here, and how far from now."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z}, {distance(at, now)}"


def distance(at: datetime, now: datetime) -> str:
    """Return how far a moment is from now: `3m 2s ago`, `in 5s`."""
    seconds = (at - now).total_seconds()
    return f"in {age(seconds)}" if seconds > 0 else f"{age(-seconds)} ago"


def age(seconds: float) -> str:
    """Return how long something has been so, for people: from a second on, no milliseconds."""
    return describe(math.floor(seconds) if seconds >= 1 else seconds)


def size(count: int) -> str:
    """Return a number of bytes as people read it: `54.2 MiB`."""
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < _STEP:
            return f"{number:.1f} {unit}" if unit != "B" else f"{count} B"
        number /= _STEP
    return f"{number:.1f} TiB"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it must be."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short(seconds: float) -> str:
    """Return how long something took in two digits or three: `85ms`, `1.4s`, `12s`."""
    if seconds < 1:
        return f"{seconds * 1_000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 10 else age(seconds)  # noqa: PLR2004 - one digit before the point
