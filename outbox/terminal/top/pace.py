"""How fast things go: what ended in the last seconds, and in the last minute as far as it was watched."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.queue.fleet import Fleet
    from outbox.queue.samples import Sample

MINUTE = 60.0
WRITTEN = 15.0
"""So many seconds after a minute is over, at the latest, all workers have added what they did in it."""
KINDS = ("sent", "failed", "retried")
_FAILED = {"retry", "dead", "ambiguous"}


class Key(NamedTuple):
    """What is counted apart: a channel's deliveries by a provider (None: nobody was asked), of one of `KINDS`."""

    channel: str
    provider: str | None
    kind: str


Rates: TypeAlias = Mapping[Key, float]


@dataclass(frozen=True, slots=True)
class Speed:
    """How many a second."""

    now: Rates = field(default_factory=dict)
    """In the last ten seconds or so."""
    minute: Rates = field(default_factory=dict)
    """In the last minute; before one was watched, in the last that is in the history."""
    live: Sequence[tuple[float, Rates]] = ()
    """What `now` was in this minute, and how many seconds ago."""


class Pace:
    """Adds up what workers report from look to look, whichever of them come and go."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, Key], int] = {}
        self._counted: Counter[Key] = Counter()
        self._seen: deque[tuple[float, Counter[Key]]] = deque()
        self._live: deque[tuple[float, Rates]] = deque()

    def after(self, fleet: Fleet, samples: Sequence[Sample], now: float | None = None) -> Speed:
        """Return how fast things go, with what these workers say now."""
        at = time.monotonic() if now is None else now
        self._count(fleet, first=not self._seen)
        self._seen.append((at, self._counted.copy()))
        while len(self._seen) > 1 and self._seen[1][0] <= at - MINUTE:
            self._seen.popleft()
        began, then = self._seen[0]
        if at - began >= MINUTE:
            minute = {key: (count - then[key]) / (at - began) for key, count in self._counted.items()}
        else:
            minute = of_minute(samples, datetime.now(UTC))
        recent = _recent(fleet)
        self._live.append((at, recent))
        while self._live[0][0] < at - MINUTE:
            self._live.popleft()
        return Speed(recent, minute, [(at - when, rates) for when, rates in self._live])

    def _count(self, fleet: Fleet, *, first: bool) -> None:
        """Add what each has counted since the look before. Of one that is new, all: it was not there then."""
        totals = {(worker, key): total for worker, key, total in _totals(fleet)}
        for (worker, key), total in totals.items():
            before = self._last.get((worker, key), total if first else 0)
            self._counted[key] += max(total - before, 0)
        self._last |= totals


def of_minute(samples: Sequence[Sample], now: datetime) -> dict[Key, float]:
    """Return how many a second there were in the last minute of the history that is over."""
    over = [sample for sample in samples if sample.at <= now - timedelta(seconds=MINUTE + WRITTEN)]
    last = max((sample.at for sample in over), default=None)
    return {
        Key(sample.channel, sample.provider or None, kind): getattr(sample, kind) / MINUTE
        for sample in over
        if sample.at == last
        for kind in KINDS
    }


def kinds_of(outcome: str, provider: str | None) -> tuple[str, ...]:
    """Return as what an ending counts: as in the samples, what nobody was asked for has not failed."""
    if outcome == "sent":
        return ("sent",)
    if provider is None or outcome not in _FAILED:
        return ()
    return ("failed",) if outcome == "dead" else ("failed", "retried")


def _recent(fleet: Fleet) -> dict[Key, float]:
    rates: dict[Key, float] = defaultdict(float)
    by_ending = fleet.traffic(lambda it: (it.channel, it.provider, it.outcome))
    for (channel, provider, outcome), traffic in by_ending.items():
        for kind in kinds_of(outcome, provider):
            rates[Key(channel, provider, kind)] += traffic.per_second
    return dict(rates)


def _totals(fleet: Fleet) -> list[tuple[int, Key, int]]:
    counts: Counter[tuple[int, Key]] = Counter()
    for worker in fleet.workers:
        for tally in worker.report.tallies if worker.report else ():
            for kind in kinds_of(tally.outcome, tally.provider):
                counts[worker.id, Key(tally.channel, tally.provider, kind)] += tally.total
    return [(worker, key, total) for (worker, key), total in counts.items()]
