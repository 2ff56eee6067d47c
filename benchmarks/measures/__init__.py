"""What is measured. A measure takes a cell and returns numbers by name; the page knows their units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.measures import bulk, drain, enqueue, held, latency, mail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.cell import Cell

_HELD = ("outbox", "pgqueuer", "graphile")


@dataclass(frozen=True)
class Measure:
    """One measure: what takes it, and which systems are measured; all, where none are named.

    Those that `last` are long, and have a number of rounds of their own.
    """

    take: Callable[[Cell], dict[str, Any]]
    systems: tuple[str, ...] = ()
    is_long: bool = False


MEASURES: Mapping[str, Measure] = {
    "enqueue-1": Measure(partial(enqueue.measure, clients=1)),
    "enqueue-8": Measure(partial(enqueue.measure, clients=8)),
    "bulk": Measure(partial(bulk.measure, keyed=False)),
    "bulk-keyed": Measure(partial(bulk.measure, keyed=True)),
    "drain-1": Measure(partial(drain.measure, processes=1)),
    "drain-2": Measure(partial(drain.measure, processes=2)),
    "sleep": Measure(drain.measure_sleeping),
    "latency": Measure(latency.measure),
    "email": Measure(mail.measure, ("outbox",)),
    "held": Measure(partial(held.saturated, held=True), _HELD, is_long=True),
    "held-without": Measure(partial(held.saturated, held=False), _HELD, is_long=True),
    "steady": Measure(partial(held.steady, held=True), ("outbox",), is_long=True),
    "steady-without": Measure(partial(held.steady, held=False), ("outbox",), is_long=True),
}
