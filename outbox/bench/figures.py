"""Numbers as people read them: with the digits that count."""

from __future__ import annotations

import math

_DIGITS = 3


def figure(number: float, digits: int = _DIGITS) -> str:
    """Return a number with so many digits that count, and commas: 36,800, 1.31, 0.004."""
    if number == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(number)))
    rounded = round(number, places)
    return f"{rounded:,.{max(places, 0)}f}"


def about(number: float) -> str:
    """Return a number with two digits that count, which is what a short measurement knows: 1,900, 0.31."""
    return figure(number, 2)


def lasting(seconds: float) -> str:
    """Return how long something took: `85 µs`, `1.3 ms`, `2.4 s`."""
    if seconds < 0.001:  # noqa: PLR2004 - a millisecond
        return f"{about(seconds * 1e6)} µs"
    return f"{about(seconds * 1e3)} ms" if seconds < 1 else f"{about(seconds)} s"
