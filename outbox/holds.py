"""Which providers of a channel are held, because they refuse us or are down, and when each is probed next.

Kept by each worker for itself: being refused is cheap, and needs no agreement. Those that somebody paused are held as
well, by all workers, and are not probed.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from outbox import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

HOLD = 30.0
"""Seconds between two probes, at most."""
# A provider is down when so many different messages failed, for so long, with no success between. Different ones: a
# message that fails whenever it is tried is one. With no success: ten in a row are chance where a third is greylisted,
# and no sign at all at a thousand a second, unless they last; and whoever failed first is tried again after about 1 s,
# so that hardly any has failed twice by then.
SEVERAL = 10
LONG = 0.5
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0
"""Seconds for which a provider that says `Throttled` is left alone, at most, whatever it tells one message to wait."""
PAUSED = 60.0
"""Seconds after which what can go through a paused provider only is looked at again."""
ALL_PAUSED = 5.0
"""Seconds for which what is in hand is put off when all are paused: nothing is claimed again before one is not."""
LONGEST_TOLD = 24 * 3600.0
JITTER = 0.2  # the workers of a fleet should not probe in step


@dataclass(slots=True)
class _Hold:
    until: float
    pause: float
    why: errors.DeliveryError
    probe: str | None = None


@dataclass(slots=True)
class _Streak:
    since: float
    keys: set[str] = field(default_factory=set)


class Holds:
    """The held providers among `names`, and the failures in a row of those that are not. `key` names a message.

    Those that are `never_down` have a far side for each recipient: what fails there says nothing of the others. Those
    that are `never_paused` have limits for each recipient, and what they throttle says as little.
    """

    def __init__(self, names: Iterable[str], never_down: Iterable[str] = (), never_paused: Iterable[str] = ()) -> None:
        self._names = frozenset(names)
        self._never_down = frozenset(never_down)
        self._never_paused = self._never_down | frozenset(never_paused)
        self._held: dict[str, _Hold] = {}
        self._paused: frozenset[str] = frozenset()
        self._streaks: dict[str, _Streak] = {}

    def may_try(self, name: str, key: str) -> bool:
        """Tell whether to send through `name` now. The first to ask after a hold becomes the probe, and renews it."""
        if name in self._paused:
            return False
        hold = self._held.get(name)
        if hold is None:
            return True
        now = time.monotonic()
        if now < hold.until:
            return False
        hold.until, hold.probe = now + HOLD, key  # if by then it has not ended, it hangs, and there is another probe
        return True

    def pause(self, names: Iterable[str]) -> None:
        """Note that somebody paused these, and no others. What is being sent through them goes on."""
        self._paused = frozenset(names)

    def paused(self, name: str | None = None) -> bool:
        """Tell whether `name` is paused; without a name, whether all are."""
        return self._paused >= (self._names if name is None else {name}) and bool(self._names)

    def accepted(self, name: str) -> bool:
        """Note that `name` accepted something; returns whether it had been held."""
        if self._streaks:
            self._streaks.pop(name, None)
        hold = self._held.get(name)
        if hold is None or (hold.probe is None and isinstance(hold.why, errors.Throttled)):
            return False  # among what it throttles it accepts some; only what begins after the pause ends it
        del self._held[name]
        return True

    def refused(self, name: str) -> bool:
        """Note that `name` refused a message for good, as only one that is not down can; returns whether it was held.

        That it still refuses us all is not contradicted by it.
        """
        hold = self._held.get(name)
        return not (hold and isinstance(hold.why, errors.Misconfigured)) and self.accepted(name)

    def unasked(self, name: str, key: str) -> None:
        """Note that a message ended before it reached `name`: if it was to be the probe, the next one is."""
        hold = self._held.get(name)
        if hold is not None and hold.probe == key:
            hold.until, hold.probe = time.monotonic(), None

    def failed(self, name: str, key: str, error: errors.DeliveryError) -> float | None:
        """Note an error that may count against `name`; returns for how long it is held, if it is from now on."""
        if isinstance(error, errors.Misconfigured):
            return self._hold(name, HOLD, HOLD, error)
        throttled = isinstance(error, errors.Throttled)
        if name in (self._never_paused if throttled else self._never_down) or (throttled and error.code is None):
            return None  # without a code it is a limit of ours
        hold = self._held.get(name)
        if hold is not None and hold.probe != key:
            return None  # it began before
        if throttled:
            pause = min(told(error) or (2 * hold.pause if hold else FIRST_PAUSE), LONGEST_PAUSE)
            return self._hold(name, pause, _spread(pause), error)
        if hold is None:
            down = self._is_down(name, key)
            return self._hold(name, FIRST_PAUSE, _spread(FIRST_PAUSE), error) if down else None
        pause = min(2 * hold.pause, HOLD)
        return self._hold(name, pause, _spread(pause), error)

    def closed_for(self) -> float:
        """Return the seconds until some provider may be tried; 0 when one may be now."""
        if not self.all_held():
            return 0.0
        ends = (hold.until for name, hold in self._held.items() if name not in self._paused)
        end = min(ends, default=None)  # without one, all are paused
        return ALL_PAUSED if end is None else max(end - time.monotonic(), 0.0)

    def held_for(self, name: str) -> float:
        """Return the seconds until `name` may be tried; 0 when it may be now."""
        hold = self._held.get(name)
        if name in self._paused:
            return PAUSED
        return 0.0 if hold is None else max(hold.until - time.monotonic(), 0.0)

    def all_held(self) -> bool:
        """Tell whether there is no provider that is not held, so that the next try is a probe."""
        return bool(self._names) and self._names <= self._held.keys() | self._paused

    def usable(self) -> frozenset[str]:
        """Return the providers that are not held; while all of them are, all: one of them is the next probe's."""
        return self._names - self._held.keys() - self._paused or self._names - self._paused or self._names

    def why(self) -> errors.DeliveryError | None:
        """Return the error for which the provider that is probed next is held."""
        holds = (hold for name, hold in self._held.items() if name not in self._paused)
        first = min(holds, key=lambda hold: hold.until, default=None)
        return None if first is None else first.why

    def _is_down(self, name: str, key: str) -> bool:
        now = time.monotonic()
        streak = self._streaks.get(name)
        if streak is None:
            streak = self._streaks[name] = _Streak(now)
        if len(streak.keys) < SEVERAL:
            streak.keys.add(key)
        return len(streak.keys) >= SEVERAL and now >= streak.since + LONG

    def _hold(self, name: str, pause: float, seconds: float, why: errors.DeliveryError) -> float:
        self._streaks.pop(name, None)
        self._held[name] = _Hold(time.monotonic() + seconds, pause, why)
        return seconds


def told(error: errors.DeliveryError) -> float | None:
    """Return what the provider asked us to wait, in seconds: never less than nothing, never more than a day."""
    try:
        seconds = float(getattr(error, "retry_after", None) or math.nan)  # a header's value is a text
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_TOLD)


def _spread(pause: float) -> float:
    return pause * random.uniform(1 - JITTER, 1 + JITTER)
