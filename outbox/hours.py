"""When it is open, by the clocks of any time zone: what their hands show decides, whatever is done to them."""

from __future__ import annotations

from bisect import bisect_right
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from outbox.week import DAY, WEEK, others

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from outbox.week import Spans

# So far ahead a look may go, for within it clocks are changed once at most: twice within a week is on no record.
_STEP = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)


class Stretch(NamedTuple):
    """A time in which nothing changes: whether it is open, and until before when."""

    is_open: bool
    until: datetime


class Hours:
    """Closed in `closed` spans of the week (`outbox.week`), and open at all other times.

    A time of day that is left out in spring is not waited for: what opens at 02:30 is open when the clocks go from
    02:00 to 03:00. One that comes twice in autumn is what it is both times: what opens at 02:30 opens, closes with the
    clocks going back from 03:00 to 02:00, and opens again.
    """

    def __init__(self, closed: Spans) -> None:
        """Raise ValueError if it is never open, or always."""
        if not closed or not others(closed):
            raise ValueError(f"it would be {'never' if closed else 'always'} open")
        self._edges = [minute for span in closed for minute in span]

    def stretch(self, moment: datetime, zone: tzinfo) -> Stretch:
        """Return what it is at a moment (in UTC), and until when it stays so."""
        is_open = self._is_open(moment, zone)
        until = moment
        while True:
            until = self._next_look(until, zone)
            if self._is_open(until, zone) != is_open:
                return Stretch(is_open, until)

    def opening(self, moment: datetime, zone: tzinfo) -> datetime:
        """Return the moment itself if it is open, or else the first after it when it is."""
        is_open, until = self.stretch(moment, zone)
        return moment if is_open else until

    def open_seconds(self, since: datetime, until: datetime, zone: tzinfo, enough: float) -> float:
        """Return for how many seconds between two moments it is open. It stops to count when that is `enough`."""
        seconds = 0.0
        while since < until and seconds <= enough:
            is_open, end = self.stretch(since, zone)
            seconds += (min(end, until) - since).total_seconds() if is_open else 0
            since = end
        return seconds

    def after_open(self, moment: datetime, seconds: float, zone: tzinfo) -> datetime:
        """Return the first moment at which it is open, and has been for so many seconds since `moment`."""
        left = timedelta(seconds=seconds)
        while True:
            is_open, end = self.stretch(moment, zone)
            if is_open and moment + left < end:
                return moment + left
            left -= end - moment if is_open else timedelta()
            moment = end

    def _is_open(self, moment: datetime, zone: tzinfo) -> bool:
        minute = int(_since_monday(moment.astimezone(zone)) / _MINUTE)
        return bisect_right(self._edges, minute) % 2 == 0

    def _next_look(self, moment: datetime, zone: tzinfo) -> datetime:
        """Return the next moment at which anything may have changed: the hands reach an edge, or are moved."""
        local = moment.astimezone(zone)
        shown = _since_monday(local)
        place = bisect_right(self._edges, int(shown / _MINUTE))
        edge = self._edges[place] if place < len(self._edges) else WEEK + self._edges[0]
        later = moment + min(edge * _MINUTE - shown, _STEP)
        offset = local.utcoffset()
        return later if later.astimezone(zone).utcoffset() == offset else _change(moment, later, zone)


def _since_monday(local: datetime) -> timedelta:
    """Return how far the hands are from the week's begin."""
    minutes = local.weekday() * DAY + local.hour * 60 + local.minute
    return timedelta(minutes=minutes, seconds=local.second, microseconds=local.microsecond)


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """Return the second between two moments at which clocks are changed, as they are once: at a whole second of UTC."""
    offset = before.astimezone(zone).utcoffset()
    before, after = before.replace(microsecond=0), after.replace(microsecond=0)
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
