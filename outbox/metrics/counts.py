"""counts: a listener that counts the engine's events, in a Prometheus registry."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Info, ProcessCollector, disable_created_metrics

from outbox import events, template_events
from outbox.config import RetentionConfig
from outbox.metrics.definitions import Definitions
from outbox.routine_events import LeasesRenewed, ListenHeard, RateWaited
from outbox.schedule_events import ScheduleFailed, ScheduleRan
from outbox.worker.chores import chores_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from outbox.events import Attempted, Event

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, of which nothing is made


class Counts:
    """The metrics of this process. Call it with each event; `registry` has the result."""

    def __init__(self, served: Mapping[str, Iterable[str]]) -> None:
        """`served` has the providers of each channel: what is 0 so far is there from the start, or no rate has it."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("build", "The version of outbox.", namespace="outbox", registry=self.registry).info(
            {"version": version("outbox")}
        )
        self._all = Definitions(self.registry)
        self._of_attempts: dict[tuple[str, str, str, str], tuple[Callable[..., None], ...]] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            events.Attempted: self._attempted,
            events.Claimed: self._claimed,
            events.Settled: self._settled,
            events.FailedOver: lambda event: _of_failure(self._all.failovers, event).inc(),
            events.ProviderHeld: self._held,
            events.ProviderResumed: lambda event: _of(self._all.held, event).set(0),
            events.ProviderFailed: lambda event: _of(self._all.defects, event).inc(),
            events.CopiesRefused: lambda event: _of(self._all.refused_copies, event).inc(len(event.codes)),
            events.CodeUnknown: lambda event: _of(self._all.unknown_codes, event).inc(),
            events.LeaseLost: lambda event: self._all.leases_lost.inc(event.count),
            events.DatabaseLost: lambda event: self._all.database_losses.labels(event.purpose).inc(),
            events.LoopBlocked: lambda event: self._all.loop_blocked.inc(event.seconds),
            events.ListenUnheard: self._unheard,
            ListenHeard: lambda _: self._all.tell_of_listening(heard=True),
            LeasesRenewed: lambda event: self._all.leases_renewed.inc(event.count),
            RateWaited: lambda event: self._all.limited.labels(event.channel).inc(event.seconds),
            events.HorizonHeld: lambda _: self._all.horizon_held.inc(),
            events.ChoreFailed: lambda event: self._all.chore_failures.labels(event.chore).inc(),
            template_events.TemplatesRefused: lambda _: self._all.refusals.inc(),
            events.TopicsChanged: lambda event: self._all.redeclared.inc(len(event.topics)),
            ScheduleRan: self._ran,
            ScheduleFailed: lambda event: self._all.failed_runs.labels(event.schedule).inc(),
            events.ProcessDied: lambda _: self._all.deaths.inc(),
        }
        for channel, providers in served.items():
            self._begin(channel, providers)
        for chore in chores_with(RetentionConfig(), self) if served else ():
            self._all.chore_failures.labels(chore.name)

    def __call__(self, event: Event) -> None:
        """Count one event; those of which nothing is counted are let by."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _begin(self, channel: str, providers: Iterable[str]) -> None:
        for of_channel in (self._all.claimed, self._all.lost, self._all.limited, self._all.end_to_end):
            of_channel.labels(channel)
        for provider in providers:
            self._all.attempts.labels(channel, provider, "sent", "")
            for of_provider in (self._all.held, self._all.unknown_codes, self._all.refused_copies, self._all.defects):
                of_provider.labels(channel, provider)

    def _attempted(self, event: Attempted) -> None:
        """Count one; this is the hot path: to look a series up by its labels takes thrice as long as to add to it."""
        outcome = event.outcome
        key = (
            event.channel,
            outcome.provider or "",
            outcome.name,
            outcome.failure.error_class if outcome.failure is not None else "",
        )
        series = self._of_attempts.get(key)
        if series is None:
            series = self._of_attempts[key] = (
                self._all.attempts.labels(*key).inc,
                self._all.delivery.labels(*key[:2]).observe,
                self._all.wait.labels(key[0]).observe,
                self._all.end_to_end.labels(key[0]).observe if outcome.name == "sent" else _nothing,
            )
        count, delivery, wait, end_to_end = series
        exemplar = None if event.trace is None else {"trace_id": event.trace}
        count()
        delivery(event.seconds, exemplar)
        wait(max(event.waited, 0.0))
        if event.age is not None:
            end_to_end(max(event.age, 0.0), exemplar)
        if outcome.reason is not None:
            self._all.dead_letters.labels(event.channel, outcome.reason).inc()
        if outcome.surplus is not None:
            self._all.throttled.labels(event.channel, outcome.surplus.topic, outcome.surplus.policy).inc()

    def _claimed(self, event: events.Claimed) -> None:
        self._all.claimed.labels(event.channel).inc(event.count)
        self._all.lost.labels(event.channel).inc(event.lost)
        self._all.claim.labels(event.channel).observe(event.seconds)
        self._all.claim_size.labels(event.channel).observe(event.count)

    def _settled(self, event: events.Settled) -> None:
        self._all.settled.inc(event.count - event.stale)
        self._all.stale.inc(event.stale)
        self._all.settle.observe(event.seconds)
        self._all.settle_size.observe(event.count)

    def _unheard(self, _: events.ListenUnheard) -> None:
        self._all.listen_unheard.inc()
        self._all.tell_of_listening(heard=False)

    def _held(self, event: events.ProviderHeld) -> None:
        _of(self._all.held, event).set(1)
        _of_failure(self._all.holds, event).inc()

    def _ran(self, event: ScheduleRan) -> None:
        self._all.runs.labels(event.schedule).inc()
        self._all.failed_runs.labels(event.schedule)  # 0 so far, or the rate of its first failure would be nothing


def _nothing(*_: object) -> None: ...


def _of(metric: Any, event: Any) -> Any:
    return metric.labels(event.channel, event.provider)


def _of_failure(metric: Any, event: Any) -> Any:
    return metric.labels(event.channel, event.provider, event.error.name)
