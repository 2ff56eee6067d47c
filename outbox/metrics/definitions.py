"""What is measured: every metric by its name, with its labels. Each label takes its values from a closed set.

The sets are what the configuration names (channels, providers, topics that have a throttle) and what the code does
(outcomes, classes of error, reasons, purposes, chores), and the schedules that operators name, so that the number of
series is bounded, whatever is sent to whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_PROVIDER = ("channel", "provider")
_FAILURE = ("channel", "provider", "class")
# Seconds. A delivery takes a round trip at best, and `timeout` at worst; a wait is over at once, or a matter of hours.
_DELIVERY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WAIT = (0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200, 43_200)
_END_TO_END = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1_800, 7_200, 43_200, 172_800)
_BATCH = (1, 2, 5, 10, 25, 50, 100, 250, 500)
_STATEMENT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Definitions:
    """The metrics of one worker process, in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._listens = False
        self._of_deliveries()
        self._of_providers()
        self._of_statements()
        self._of_the_process()

    def _of_deliveries(self) -> None:
        self.attempts = self._counter(
            "attempts",
            "Deliveries that ended, by how. The provider is empty where none was asked.",
            *(*_PROVIDER, "outcome", "class"),
        )
        self.dead_letters = self._counter("dead_letters", "Notifications given up, by why.", "channel", "reason")
        self.throttled = self._counter(
            "throttled",
            "Notifications that the throttle of their topic did not let through.",
            *("channel", "topic", "policy"),
        )
        self.delivery = self._histogram("delivery_seconds", "A delivery, from begin to end.", _DELIVERY, *_PROVIDER)
        self.end_to_end = self._histogram(
            "end_to_end_seconds",
            "From when it was due first, or was replayed, to its acceptance.",
            _END_TO_END,
            "channel",
        )
        self.wait = self._histogram("wait_seconds", "From when it was due to its claim.", _WAIT, "channel")

    def _of_providers(self) -> None:
        self.failovers = self._counter(
            "failovers", "Messages that a provider did not accept, and the next was asked for.", *_FAILURE
        )
        self.unknown_codes = self._counter("unknown_codes", "Refusals with a code that no table has.", *_PROVIDER)
        self.refused_copies = self._counter("refused_copies", "Copies (cc, bcc) that were not accepted.", *_PROVIDER)
        self.holds = self._counter(
            "provider_holds", "Times that a provider was held: it was down, or refused us.", *_FAILURE
        )
        self.held = Gauge(
            "outbox_provider_held", "1 while nothing goes through it but probes.", _PROVIDER, registry=self._registry
        )
        self.defects = self._counter("provider_defects", "Errors in a provider's own code.", *_PROVIDER)

    def _of_statements(self) -> None:
        self.claimed = self._counter("claimed", "Notifications that claims returned.", "channel")
        self.lost = self._counter("lost", "Claimed notifications that a lost worker had had in hand.", "channel")
        self.claim = self._histogram("claim_seconds", "A claim that returned some.", _STATEMENT, "channel")
        self.claim_size = self._histogram("claim_batch_size", "How many a claim returned.", _BATCH, "channel")
        self.limited = self._counter(
            "limiter_wait_seconds", "For how long nothing was claimed because of a rate.", "channel"
        )
        self.settled = self._counter("settled", "Outcomes written.")
        self.stale = self._counter("stale", "Outcomes that came too late: somebody else had claimed it by then.")
        self.settle = self._histogram("settle_seconds", "A settlement, of up to 500 outcomes.", _STATEMENT)
        self.settle_size = self._histogram("settle_batch_size", "How many outcomes a settlement wrote.", _BATCH)

    def _of_the_process(self) -> None:
        self.leases_renewed = self._counter("leases_renewed", "Leases that were extended, each time.")
        self.leases_lost = self._counter("leases_lost", "Leases that ended before their deliveries did.")
        self.database_losses = self._counter("database_losses", "Connections that broke or failed.", "purpose")
        self.loop_blocked = self._counter("loop_blocked_seconds", "For how long the event loop stood still.")
        self.listen_unheard = self._counter(
            "listen_unheard", "Connections that no NOTIFY comes through, so that the worker polls."
        )
        self.listen_heard = Gauge("outbox_listen_heard", "1 while a NOTIFY comes through.", registry=None)
        self.horizon_held = self._counter("horizon_held", "Times that a long transaction was found and named.")
        self.chore_failures = self._counter("chore_failures", "Chores that could not be done.", "chore")
        self.runs = self._counter("schedule_runs", "Occurrences of schedules that were run.", "schedule")
        self.failed_runs = self._counter("schedule_failures", "Runs of schedules that failed.", "schedule")
        self.refusals = self._counter("templates_refused", "Changes of templates that were not taken.")
        self.redeclared = self._counter("topics_redeclared", "Topics declared otherwise than before.")
        self.deaths = self._counter("process_deaths", "Worker processes that ended, and should not have.")

    def tell_of_listening(self, *, heard: bool) -> None:
        """Serve from now on whether a NOTIFY comes through; before anybody has tried, nobody knows."""
        if not self._listens:
            self._registry.register(self.listen_heard)
            self._listens = True
        self.listen_heard.set(heard)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"outbox_{name}", what, labels, registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"outbox_{name}", what, labels, registry=self._registry, buckets=buckets)
