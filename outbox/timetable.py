"""When what goes out on one channel may be sent: by the quiet hours and send windows of the channel and of its topic.

Both hold, by the clocks of the recipient's time zone. What is urgent is sent at any time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from outbox.errors import clean
from outbox.hours import Hours
from outbox.messages import PRIORITIES
from outbox.week import DAYS, merged, others
from outbox.zones import zone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import tzinfo

    from outbox.config import ChannelConfig, TopicConfig
    from outbox.week import Spans

_URGENT = PRIORITIES["urgent"]
_SPREAD = 60.0  # seconds after an opening, so that what waited for it does not come due in one moment
_SHARE = 0.1  # of the time that it is open, at most
_INSTANT = timedelta(microseconds=1)
_LONGEST_NAME = 64


class Closed(NamedTuple):
    """That something may not be sent before `until`, by a rule of the class `by`, and in words."""

    until: datetime
    by: str
    words: str
    spread: float
    """Seconds after `until` over which what waits for it is to be spread."""


class _Rule(NamedTuple):
    """One rule by itself: its class, its name, and when it lets nothing out."""

    by: str
    words: str
    written: str
    hours: Hours


class Rules:
    """All that one notification comes under, that has a certain topic, or none."""

    def __init__(self, rules: list[_Rule], closed: Spans, time_zone: str) -> None:
        """`time_zone` is that of recipients whose own is not known."""
        self._rules = rules
        self._hours = Hours(closed)
        self._time_zone = time_zone
        self._last: dict[tzinfo, tuple[datetime, datetime, Closed | None]] = {}

    def __str__(self) -> str:
        """Say when nothing is sent: `quiet hours of topic news (22:00-08:00)`."""
        return " and ".join(f"{rule.words} ({rule.written})" for rule in self._rules)

    def closed(self, moment: datetime, time_zone: str | None) -> Closed | None:
        """Return what keeps back, at a moment, what is for somebody in a time zone; None if nothing does.

        What it was last time is remembered until it changes: a million that wait for eight o'clock are not a million
        looks at a calendar.
        """
        where = self.zone(time_zone)
        since, until, last = self._last.get(where) or (moment, moment, None)
        if since <= moment < until:
            return last if last is None else self._doubting(last, time_zone)
        is_open, until = self._hours.stretch(moment, where)
        last = None if is_open else self._closed(moment, until, where)
        self._last[where] = moment, until, last
        return last if last is None else self._doubting(last, time_zone)

    def wait_open(self, moment: datetime, seconds: float, time_zone: str | None) -> float:
        """Return the seconds from a moment until it has been open for so many of them, and is."""
        return (self._hours.after_open(moment, seconds, self.zone(time_zone)) - moment).total_seconds()

    def kept_back(self, moment: datetime, age: float, enough: float, time_zone: str | None) -> float:
        """Return for how many of the last `age` seconds it was closed: fewer, where it was open for `enough`."""
        since = moment - timedelta(seconds=age)
        return age - self._hours.open_seconds(since, moment, self.zone(time_zone), enough)

    def zone(self, time_zone: str | None) -> tzinfo:
        """Return the time zone of that name; that of the rules if there is no name, or nobody here knows it."""
        known = _known(time_zone) if time_zone else None
        return known or zone(self._time_zone)

    def _closed(self, moment: datetime, until: datetime, where: tzinfo) -> Closed:
        # Named is what keeps it back to the last: the one whose end is the opening.
        holding = [rule for rule in self._rules if not rule.hours.stretch(until - _INSTANT, where).is_open]
        words = (
            f"{' and '.join(rule.words for rule in holding)} until {_clock(until.astimezone(where), moment)} {where}"
        )
        lasts = (self._hours.stretch(until, where).until - until).total_seconds()
        return Closed(until, holding[0].by, words, min(_SPREAD, lasts * _SHARE))

    @staticmethod
    def _doubting(closed: Closed, time_zone: str | None) -> Closed:
        if not time_zone or _known(time_zone):
            return closed
        name = clean(time_zone, _LONGEST_NAME)
        return closed._replace(words=f"{closed.words} (the recipient's time zone, {name}, is not known here)")


class Timetable:
    """One channel's."""

    def __init__(self, channel: str, policy: ChannelConfig, topics: Mapping[str, TopicConfig]) -> None:
        """Read the rules of the channel and of all topics. Raise ValueError if a topic is never open with them."""
        of_channel = list(_rules_of(policy, f"channel {channel}"))
        self._alone = _together(of_channel, policy.closed, policy.time_zone)
        self._of: dict[str | None, Rules | None] = {
            name: _together(
                [*_rules_of(topic, f"topic {name}"), *of_channel],
                merged([*topic.closed, *policy.closed]),
                topic.time_zone or policy.time_zone,
            )
            for name, topic in topics.items()
        }
        self.any = self._alone is not None or any(self._of.values())
        """Whether there is a rule at all."""

    def rules(self, topic: str | None, priority: int) -> Rules | None:
        """Return what a notification comes under; None if it may be sent at any time."""
        return None if priority <= _URGENT else self._of.get(topic, self._alone)


def _rules_of(times: ChannelConfig | TopicConfig, whose: str) -> Iterator[_Rule]:
    if times.quiet_hours is not None:
        yield _Rule("quiet_hours", f"quiet hours of {whose}", times.quiet_hours.text, Hours(times.quiet_hours.spans))
    if times.send_window is not None and (closed := others(times.send_window.spans)):
        yield _Rule("send_window", f"outside the send window of {whose}", times.send_window.text, Hours(closed))


def _together(rules: list[_Rule], closed: Spans, time_zone: str | None) -> Rules | None:
    return Rules(rules, closed, time_zone or "UTC") if rules else None


@lru_cache(1024)
def _known(name: str) -> tzinfo | None:
    try:
        return zone(name)
    except ValueError:
        return None


def _clock(local: datetime, moment: datetime) -> str:
    """Return a time of day, with its day or date if that is not plain."""
    ahead = local.astimezone(UTC) - moment
    if ahead >= timedelta(days=7):
        return f"{local:%Y-%m-%d %H:%M}"
    return f"{local:%H:%M}" if ahead < timedelta(days=1) else f"{DAYS[local.weekday()]} {local:%H:%M}"
