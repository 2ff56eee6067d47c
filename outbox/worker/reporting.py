"""reporting: what one worker knows of itself, counted from its events, for whoever looks at the fleet."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.events import Attempted, ProviderHeld, ProviderResumed
from outbox.latencies import BOUNDS, merged, trimmed
from outbox.queue.sample import COUNTED, Sample
from outbox.reports import Hold, InHand, Report, Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.events import Event, Listener
    from outbox.worker.leases import Leases

    Key = tuple[str, str | None, str, str | None, bool]
    """Channel, provider, outcome, class of error, and whether the notification was given up by it."""
    Counts = dict[Key, list[int]]

_WINDOW = 10.0
_NONE = [0] * (len(BOUNDS) + 1)


class _Held(NamedTuple):
    since: float
    until: float
    error_class: str
    code: str | None


class Reporting:
    """Counts what the routes of one worker tell, on the event loop; it is read from the thread of the lifeline."""

    def __init__(self, *, leases: Leases, concurrency: int, levels: Sequence[int], drain: bool) -> None:
        self._leases = leases
        self._concurrency = concurrency
        self._levels = tuple(levels)
        self._drain = drain
        self._counts: Counts = defaultdict(_NONE.copy)
        self._held: dict[tuple[str, str], _Held] = {}
        self._before: deque[tuple[float, Counts]] = deque([(time.monotonic(), {})])
        self._sampled: Counts = {}

    def before(self, listener: Listener) -> Listener:
        """Return a listener that counts, and passes every event on to `listener`."""
        counts = self._counts

        def tell(event: Event) -> None:
            if type(event) is Attempted:  # one for every notification: without a call more than it takes
                outcome = event.outcome
                failure = outcome.failure
                error_class = None if failure is None else failure.error_class
                key = event.channel, outcome.provider, outcome.name, error_class, outcome.reason is not None
                counts[key][bisect_left(BOUNDS, event.seconds)] += 1
            else:
                self._heed(event)
            listener(event)

        return tell

    def _heed(self, event: Event) -> None:
        if isinstance(event, ProviderHeld):
            now = time.monotonic()
            before = self._held.get((event.channel, event.provider))
            since = now if before is None else before.since
            held = _Held(since, now + event.seconds, event.error.name, event.error.code)
            self._held[event.channel, event.provider] = held
        elif isinstance(event, ProviderResumed):
            self._held.pop((event.channel, event.provider), None)

    def report(self, *, listening: bool | None) -> Report:
        """Return what there is to tell now; `recent` is since the report of ten seconds ago."""
        now, counts = time.monotonic(), self._copied()
        while len(self._before) > 1 and now - self._before[1][0] >= _WINDOW:
            self._before.popleft()
        since, before = self._before[0]
        self._before.append((now, counts))
        return Report(
            clock=time.time(),
            window=now - since,
            listening=listening,
            concurrency=self._concurrency,
            levels=self._levels,
            drain=self._drain,
            in_hand=self._in_hand(),
            tallies=_tallies(counts, before),
            holds=tuple(
                Hold(channel, provider, it.error_class, it.code, now - it.since, it.until - now)
                for (channel, provider), it in sorted(self._held.copy().items())
            ),
        )

    def samples(self) -> tuple[list[Sample], Any]:
        """Return what was counted since the last call of `sampled`, and what that is to be given once it is written."""
        counts = self._copied()
        kinds: dict[tuple[str, str], list[tuple[Key, list[int]]]] = {}
        for key, now in counts.items():
            new = _since(now, self._sampled.get(key))
            if any(new):
                kinds.setdefault((key[0], key[1] or ""), []).append((key, new))
        return [_sample(*kind, some) for kind, some in sorted(kinds.items())], counts

    def sampled(self, mark: Any) -> None:
        """Note that what `samples` returned with this mark is written."""
        self._sampled = mark

    def _copied(self) -> Counts:
        return {key: counts.copy() for key, counts in self._counts.copy().items()}

    def _in_hand(self) -> dict[str, InHand]:
        held = Counter((lease.channel, lease.begun) for lease in self._leases.all())
        channels = {channel for channel, _ in held}
        return {name: InHand(held[name, False], held[name, True]) for name in sorted(channels)}


def _since(now: Sequence[int], before: Sequence[int] | None) -> list[int]:
    return list(now) if before is None else [new - old for new, old in zip(now, before, strict=True)]


def _tallies(counts: Counts, before: Counts) -> tuple[Tally, ...]:
    """Return how many ended in which way; whether it was given up is not told apart here."""
    kinds: dict[tuple[str, str | None, str, str | None], list[tuple[list[int], list[int]]]] = {}
    for key, now in counts.items():
        kinds.setdefault(key[:4], []).append((now, _since(now, before.get(key))))
    made = []
    for (channel, provider, outcome, error_class), some in kinds.items():
        recent = trimmed(merged(new for _, new in some))
        total = sum(sum(now) for now, _ in some)
        latencies = recent if provider is not None else ()
        made.append(Tally(channel, provider, outcome, error_class, total, sum(recent), tuple(latencies)))
    return tuple(made)


def _sample(channel: str, provider: str, some: Sequence[tuple[Key, list[int]]]) -> Sample:
    counted: Counter[str] = Counter()
    for (_, asked, outcome, _, given_up), new in some:
        count = sum(new)
        counted["dead"] += count * given_up
        if outcome == "sent":
            counted["sent"] += count
        elif asked is not None and outcome in ("retry", "dead", "ambiguous"):
            counted["failed"] += count
            counted["retried"] += count * (not given_up)
        else:
            counted["untried"] += count
    delivery = trimmed(merged(new for (_, asked, *_), new in some if asked is not None))
    return Sample(channel, provider, **{name: counted[name] for name in COUNTED}, delivery=delivery)
