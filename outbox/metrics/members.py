"""members: the metrics of worker processes, asked for by their supervisor, which serves them all on one port.

No series is added up here: `process` is a label, so that one that dies and is replaced begins again from 0 by itself,
as Prometheus expects of a counter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import Metric
from prometheus_client.samples import Exemplar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import CollectorRegistry

    from outbox.members import Members

QUESTION = "metrics"
_PATIENCE = 2.0  # seconds for all: Prometheus gives up after 10


def teller(registry: CollectorRegistry) -> Callable[[], list[Any]]:
    """Return what answers the question for what a process has counted."""
    return lambda: _told(registry.collect())


def _told(metrics: Iterable[Metric]) -> list[Any]:
    return [
        [
            metric.name,
            metric.documentation,
            metric.type,
            [[each.name, each.labels, each.value, each.exemplar] for each in metric.samples],
        ]
        for metric in metrics
    ]


class OfMembers:
    """A collector of what all processes have counted; a process that does not answer in time is left out."""

    def __init__(self, own: CollectorRegistry, members: Members) -> None:
        """`own` is what the supervisor itself has counted; it comes as the process `supervisor`."""
        self._own = own
        self._members = members

    def collect(self) -> Iterator[Metric]:
        """Yield every metric once, with a sample for each process."""
        merged: dict[str, Metric] = {}
        _merge(merged, _told(self._own.collect()), "supervisor")
        up = Metric("outbox_process_up", "Whether a worker process answers.", "gauge")
        for number, told in self._members.ask(QUESTION, patience=_PATIENCE).items():
            up.add_sample(up.name, {"process": str(number)}, float(told is not None))
            _merge(merged, told or [], str(number))
        yield from merged.values()
        yield up


def _merge(merged: dict[str, Metric], told: list[Any], process: str) -> None:
    for name, documentation, kind, samples in told:
        metric = merged.setdefault(name, Metric(name, documentation, kind))
        for sample, labels, value, exemplar in samples:
            told_of = None if exemplar is None else Exemplar(*exemplar)
            metric.add_sample(sample, {**labels, "process": process}, value, exemplar=told_of)
