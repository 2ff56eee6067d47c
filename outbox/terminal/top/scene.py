"""What one look found, and what of it somebody wants to see."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from outbox.queue.fleet import Fleet
from outbox.terminal.top.pace import Speed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from outbox.queue.deaths import Deaths
    from outbox.queue.fleet import Worker
    from outbox.queue.letter_groups import Group
    from outbox.queue.paused import Pause
    from outbox.queue.samples import Sample
    from outbox.reports import Report
    from outbox.terminal.top.pace import Rates


class Waiting(NamedTuple):
    """What there is of one channel and priority; the states are those of `outbox status`."""

    channel: str
    priority: int
    due: int
    leased: int
    scheduled: int
    retrying: int
    blocked: int
    oldest_due: float | None
    """Seconds that the oldest of those due has been waiting."""
    is_estimate: bool

    @property
    def waiting(self) -> int:
        """How many are in nobody's hands."""
        return self.due + self.scheduled + self.retrying + self.blocked


@dataclass(frozen=True, slots=True)
class Scene:
    """How things stand. Whatever could not be asked in time is what it was before, and named in `late`."""

    at: datetime
    database: str
    """Its name and its host's."""
    waiting: Sequence[Waiting] = ()
    fleet: Fleet = field(default_factory=lambda: Fleet(()))
    speed: Speed = field(default_factory=Speed)
    samples: Sequence[Sample] = ()
    """By the minute and by provider, of the last hours."""
    pauses: Sequence[Pause] = ()
    providers: Sequence[str] = ()
    """Those that workers of these minutes have."""
    deaths: Sequence[Deaths] = ()
    causes: Sequence[Group] = ()
    """Of the newest of these, in groups."""
    warnings: Sequence[str] = ()
    late: Sequence[str] = ()

    @property
    def workers(self) -> Sequence[Worker]:
        """The workers that were seen in the last minute."""
        return self.fleet.workers

    def channels(self) -> list[str]:
        """Return every channel that anything is known of."""
        named = {each.channel for each in self.waiting} | {each.channel for each in self.deaths}
        named |= {channel for worker in self.workers for channel in worker.channels}
        return sorted(named | {pause.name for pause in self.pauses if pause.scope == "channel"})

    def paused(self, scope: str, name: str) -> Pause | None:
        """Return the pause of a channel or a provider, if there is one."""
        return next((pause for pause in self.pauses if (pause.scope, pause.name) == (scope, name)), None)

    def rates(self, kind: str, *, channel: str | None = None, provider: str | None = None) -> tuple[float, float]:
        """Return how many a second there are of a kind: now, and in the last minute."""

        def added(rates: Rates) -> float:
            return sum(
                rate
                for key, rate in rates.items()
                if key[2] == kind and channel in {None, key[0]} and provider in {None, key[1]}
            )

        return added(self.speed.now), added(self.speed.minute)

    def quantiles(
        self, *, channel: str | None = None, provider: str | None = None
    ) -> tuple[float | None, float | None]:
        """Return within how many seconds half of the deliveries were done, lately, and 99 in 100 of them."""
        traffic = self.fleet.traffic(
            lambda _: None,
            lambda it: it.provider is not None and channel in {None, it.channel} and provider in {None, it.provider},
        )
        return (traffic[None].p50, traffic[None].p99) if traffic else (None, None)

    def only(self, wanted: Callable[[str], bool]) -> Scene:
        """Return what there is to see of some channels. Providers may be of any, and so may warnings."""

        def narrowed(rates: Rates) -> Rates:
            return {key: rate for key, rate in rates.items() if wanted(key.channel)}

        speed = Speed(
            narrowed(self.speed.now),
            narrowed(self.speed.minute),
            [(ago, narrowed(rates)) for ago, rates in self.speed.live],
        )
        return replace(
            self,
            waiting=[each for each in self.waiting if wanted(each.channel)],
            fleet=_only_of(self.fleet, wanted),
            speed=speed,
            samples=[each for each in self.samples if wanted(each.channel)],
            pauses=[each for each in self.pauses if each.scope == "provider" or wanted(each.name)],
            deaths=[each for each in self.deaths if wanted(each.channel)],
            causes=[each for each in self.causes if wanted(each.channel)],
        )


def _only_of(fleet: Fleet, wanted: Callable[[str], bool]) -> Fleet:
    """Return the workers that serve one of these channels, and what they say of these."""
    serving = [worker for worker in fleet.workers if any(wanted(channel) for channel in worker.channels)]
    return Fleet(tuple(replace(worker, report=_report(worker, wanted)) for worker in serving))


def _report(worker: Worker, wanted: Callable[[str], bool]) -> Report | None:
    report = worker.report
    return report and replace(
        report,
        in_hand={channel: it for channel, it in report.in_hand.items() if wanted(channel)},
        tallies=tuple(it for it in report.tallies if wanted(it.channel)),
        holds=tuple(it for it in report.holds if wanted(it.channel)),
    )
