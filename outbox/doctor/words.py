"""words: times and numbers in the sentences of findings."""

from __future__ import annotations

import math

from outbox.durations import describe


def age(seconds: float) -> str:
    """Return how long something has been so, in whole seconds."""
    return describe(float(math.floor(max(seconds, 0.0))))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it must be."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
