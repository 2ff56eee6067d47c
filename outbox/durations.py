"""Durations as people write them (`30s`, `1h30m`, `250ms`) and read them (`1h 30m`); between the two, seconds."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))  # in milliseconds
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_WRITTEN = re.compile(r"\s*".join(rf"(?:({_NUMBER.pattern})\s*{unit})?" for unit, _ in _UNITS))
_QUOTA = re.compile(r"([0-9]+)\s*/\s*(.+)")
_MOST, _SHORTEST_PERIOD, _LONGEST_PERIOD = 1_000, 1.0, 30 * 86_400.0
_RATE = re.compile(rf"({_NUMBER.pattern})\s*/\s*(s|m|h|d)")
_LONGEST = 100 * 365 * 86_400.0  # a hundred years: beyond it PostgreSQL's and Python's dates come to an end


def parse(text: str | float) -> float:
    """Return the seconds that `text` stands for: `250ms`, `30s`, `5m`, `1h30m`, `2d`; a bare number is in seconds.

    Units go from the largest to the smallest, each at most once, with or without spaces; numbers may have decimals.

    Raises:
        ValueError: it is not a duration, is negative, or is longer than a hundred years.
    """
    seconds = _seconds(text)
    if seconds is None:
        raise ValueError(f"{text!r} is not a duration: write it like 250ms, 30s, 5m, 1h30m or 2d")
    if math.isnan(seconds) or not 0 <= seconds <= _LONGEST:
        raise ValueError(f"{text!r} is not between nothing and a hundred years")
    return seconds


def _seconds(text: object) -> float | None:
    if isinstance(text, bool):
        return None
    if isinstance(text, int | float):
        return min(max(text, -1), _LONGEST + 1) * 1.0  # clamped first: an int may be too large for a float
    if not isinstance(text, str):
        return None
    written = text.strip()
    if _NUMBER.fullmatch(written):
        return float(written)
    found = _WRITTEN.fullmatch(written)
    if not written or found is None:
        return None
    return sum(float(number) * size for number, (_, size) in zip(found.groups(), _UNITS, strict=True) if number) / 1_000


class Rate(NamedTuple):
    """So many in so many seconds."""

    number: float
    seconds: float

    @property
    def per_second(self) -> float:
        """How many that is in a second."""
        return self.number / self.seconds


def parse_rate(text: str) -> Rate:
    """Return what `100/s`, `600/m`, `5/h` or `1000/d` stands for.

    Raises:
        ValueError: it is not a rate, or nothing at all.
    """
    found = _RATE.fullmatch(str(text).strip())
    if found is None or not float(found[1]):
        raise ValueError(f"{text!r} is not a rate: write it like 100/s, 600/m, 5/h or 1000/d")
    return Rate(float(found[1]), dict(_UNITS)[found[2]] / 1_000)


class Quota(NamedTuple):
    """At most so many in any period of so many seconds."""

    number: int
    seconds: float

    def __str__(self) -> str:
        """Return it for people: `3 in 1d`."""
        return f"{self.number} in {describe(self.seconds)}"


def parse_quota(text: str) -> Quota:
    """Return what `3/d`, `10/7d`, `10/w` or `1/30m` stands for: a whole number, and a unit or a duration.

    Raises:
        ValueError: it is not that, or the number is not from 1 to 1000, or the period not from 1 s to 30 days.
    """
    found = _QUOTA.fullmatch(str(text).strip())
    seconds = None
    if found is not None:
        unit = found[2].strip()
        seconds = _seconds("7d" if unit == "w" else f"1{unit}" if unit.isalpha() else unit)
    if found is None or seconds is None:
        raise ValueError(f"{text!r} is not so many in so long: write it like 3/d, 10/7d or 1/30m")
    if not 1 <= len(found[1]) <= len(str(_MOST)) or not 1 <= int(found[1]) <= _MOST:
        raise ValueError(f"{text!r} begins with no whole number from 1 to {_MOST}")
    if not _SHORTEST_PERIOD <= seconds <= _LONGEST_PERIOD:
        raise ValueError(f"{text!r} has a period that is not between 1s and 30d")
    return Quota(int(found[1]), seconds)


def describe(seconds: float) -> str:
    """Return `seconds` for people, in its largest unit and the one below it: `1h 30m`, `2d`, `250ms`, `<1ms`.

    What is left below these two is dropped, so the result is never longer than the truth.
    """
    if seconds < 0:
        return "-" + describe(-seconds)
    left = math.floor(round(seconds * 1_000, 3))  # 0.29 * 1000 is 289.99999999999994
    if not left:
        return "<1ms" if seconds else "0s"
    first = next(index for index, (_, size) in enumerate(_UNITS) if left >= size)
    words = []
    for unit, size in _UNITS[first : first + 2]:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words)
