"""Moments as people write them."""

from __future__ import annotations

from datetime import datetime, timedelta

from outbox.durations import parse


def read_moment(text: str) -> datetime:
    """Return the moment that `2030-01-31T09:00:00Z` is.

    Raises:
        ValueError: it is none, or has no time zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a moment: write it like 2030-01-31T09:00:00Z, or with +01:00") from None
    if moment.utcoffset() is None:
        raise ValueError(f"{text!r} has no time zone: end it with Z for UTC, or with an offset such as +01:00")
    return moment


def read_end(text: str) -> datetime | timedelta:
    """Return the moment that it is, or, for `30d` and the like, how long from now.

    Raises:
        ValueError: it is neither.
    """
    try:
        return timedelta(seconds=parse(text))
    except ValueError:
        pass
    try:
        return read_moment(text)
    except ValueError as error:
        raise ValueError(f"{error}; or how long it holds, such as 30d") from None
