"""Hours of the week as people write them: `22:00-08:00`, or `Mon-Fri 09:00-12:00, 13:00-17:00; Sat 10:00-14:00`.

What is read is spans: minutes from Monday 00:00 on, each from its begin to before its end, in order, apart.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Spans: TypeAlias = tuple[tuple[int, int], ...]

DAY = 24 * 60
WEEK = 7 * DAY
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {name[:length]: number for number, name in enumerate(_NAMES) for length in (3, len(name))}
_RULE = re.compile(r"(?P<days>[^0-9]*)(?P<times>[0-9].*)?", re.DOTALL)
_RANGE = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*[-–]\s*([0-9]{1,2}):([0-9]{2})")  # noqa: RUF001 - an en dash, as in print
_HOURS, _MINUTES = 24, 60


class Week(NamedTuple):
    """Hours of the week: as they were written, and what that means."""

    text: str
    spans: Spans


def parse_week(written: object) -> Week:
    """Return the hours that a text, or a list of texts, stands for.

    A rule is days, or hours, or days and then hours; without days it is of every day, without hours of all of the day.
    Rules are separated by `;`, or stand in a list. Hours that end before they begin end on the day after.

    Raises:
        ValueError: says which part is wrong, and what would be right.
    """
    texts = [written] if isinstance(written, str) else written
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f'{written!r} is no text: write it like "22:00-08:00" or "Mon-Fri 09:00-17:00"')
    rules = [rule.strip() for text in texts for rule in text.split(";")]
    if not any(rules):
        raise ValueError('it is empty: write it like "22:00-08:00" or "Mon-Fri 09:00-17:00", or leave it out')
    return Week("; ".join(filter(None, rules)), merged(span for rule in rules if rule for span in _spans(rule)))


def merged(spans: Iterable[tuple[int, int]]) -> Spans:
    """Return spans in order, and those that meet or overlap as one."""
    apart: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if apart and begin <= apart[-1][1]:
            apart[-1] = apart[-1][0], max(end, apart[-1][1])
        else:
            apart.append((begin, end))
    return tuple(apart)


def others(spans: Spans) -> Spans:
    """Return the rest of the week."""
    edges = [0, *(minute for span in spans for minute in span), WEEK]
    return tuple((begin, end) for begin, end in list(pairwise(edges))[::2] if begin < end)


def _spans(rule: str) -> Iterator[tuple[int, int]]:
    """Yield what one rule says; what goes beyond Sunday goes on on Monday."""
    found = _RULE.fullmatch(rule)
    assert found is not None  # noqa: S101 - it matches everything
    ranges = [_range(part.strip(), rule) for part in found["times"].split(",")] if found["times"] else [(0, DAY)]
    for day in _days(found["days"]):
        for begin, end in ranges:
            yield day * DAY + begin, min(day * DAY + end, WEEK)
            if day * DAY + end > WEEK:
                yield 0, day * DAY + end - WEEK


def _days(text: str) -> Iterable[int]:
    if not text.strip():
        return range(len(DAYS))
    days: set[int] = set()
    for part in re.sub(r"\s*[-–]\s*", "-", text).split(","):  # noqa: RUF001
        first, dash, last = part.strip().partition("-")
        begin = _day(first)
        days |= {(begin + more) % len(DAYS) for more in range((_day(last) - begin) % len(DAYS) + 1 if dash else 1)}
    return days


def _day(name: str) -> int:
    number = _NUMBERS.get(name.lower())
    if number is None:
        raise ValueError(f"{name!r} is no day: they are {', '.join(DAYS)}, and written like Mon-Fri or Sat,Sun")
    return number


def _range(text: str, rule: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(text)
    if found is None:
        hint = "other days begin after a ;" if re.search(r"[A-Za-z]", text) else "write it like 22:00-08:00"
        raise ValueError(f"{text!r} in {rule!r} is no range of hours: {hint}")
    begin, end = _minute(found[1], found[2], text), _minute(found[3], found[4], text)
    if begin == DAY:
        raise ValueError(f"{text!r} begins at 24:00: that is 00:00 of the day after")
    if begin == end:
        raise ValueError(f"{text!r} ends where it begins: the whole day is 00:00-24:00")
    return begin, end if end > begin else end + DAY


def _minute(hour: str, minute: str, text: str) -> int:
    number = int(hour) * _MINUTES + int(minute)
    if int(minute) >= _MINUTES or number > _HOURS * _MINUTES:
        raise ValueError(f"{hour}:{minute} in {text!r} is no time of day: it is 00:00 to 23:59, or 24:00 as an end")
    return number
