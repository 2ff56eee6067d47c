"""How many notifications a day are fine, and what they leave behind. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.bench.figures import about
from outbox.bench.finding import Finding
from outbox.telling.words import size

if TYPE_CHECKING:
    from outbox.bench.measured import Measured

RESERVE = 0.5
"""Of the capacity, that stays free."""
BUSIEST = 0.1
"""Of a day's notifications, that come in its busiest hour."""
_HOUR = 3_600


def most_a_day(measured: Measured) -> float:
    """Return how many a day this database carries, by what ends first."""
    enqueues = max(each.per_second.middle for each in measured.enqueueing)
    deliveries = max(each.per_second.middle for each in measured.draining)
    return min(enqueues, deliveries) * (1 - RESERVE) * _HOUR / BUSIEST


def a_day(measured: Measured) -> Finding:
    """Say until how many a day it is fine, what ends it, and what a day of so many costs."""
    enqueues = max(each.per_second.middle for each in measured.enqueueing)
    deliveries = max(each.per_second.middle for each in measured.draining)
    first = "enqueueing one at a time" if enqueues < deliveries else "delivering"
    least = min(enqueues, deliveries)
    most = most_a_day(measured)
    says = (
        f"Up to about {about(most)} a day are fine, if a tenth of a day comes in its busiest hour and half of the "
        f"capacity stays free: {about(least)} a second * {1 - RESERVE:g} * 3,600 s / {BUSIEST:g}. Beyond that, {first} "
        "is what does not keep up. "
        f"So many leave {size(round(most * measured.cost.table_bytes))} in the tables each day"
    )
    wal = _wal(measured)
    says += f" and {size(round(most * wal))} of WAL." if wal is not None else "."
    change = "enqueue_many where many come at once" if enqueues < deliveries else "more workers, or a faster server"
    facts: dict[str, float | str] = {"day": most, "capacity": least, "first": first}
    return Finding("day", says, facts, f"{change}; [retention] says how long the rows stay")


def _wal(measured: Measured) -> float | None:
    cost = measured.cost
    return None if cost.wal_enqueue is None or cost.wal_deliver is None else cost.wal_enqueue + cost.wal_deliver
