"""What the numbers mean, in words: a pure function of them. All that it compares are ratios of two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.bench.day import a_day
from outbox.bench.enqueue_limits import enqueue_limits
from outbox.bench.figures import about, lasting
from outbox.bench.finding import Finding
from outbox.bench.soundness import LOUD, NOISY, soundness
from outbox.bench.worker_limits import worker_limits

if TYPE_CHECKING:
    from outbox.bench.measured import Measured
    from outbox.bench.summary import Summary

_LEAST_TAIL = 100  # notifications, of which one in a hundred is one at least


def verdict(measured: Measured) -> list[Finding]:
    """Return what there is to say: what makes it doubtful first, then what the database can do, and what limits it."""
    return [
        *soundness(measured),
        _capacity(measured),
        _latency(measured),
        a_day(measured),
        *enqueue_limits(measured),
        *worker_limits(measured),
        *_foreign_wal(measured),
    ]


def _capacity(measured: Measured) -> Finding:
    one, several = measured.enqueueing[0], measured.enqueueing[-1]
    more = f", {_rate(several.per_second)} from {several.clients}" if several is not one else ""
    workers = ", ".join(
        f"{_rate(each.per_second)} by {each.processes} worker process{'es' if each.processes > 1 else ''}"
        for each in measured.draining
    )
    says = (
        f"A second, this database takes {_rate(one.per_second)} enqueues from one client{more}, each in a transaction "
        f"of its own, and {_rate(measured.bulk.per_second)} in bulk. It delivers {workers}, with a provider that takes "
        "no time."
    )
    facts: dict[str, float | str] = {"bulk": measured.bulk.per_second.middle}
    facts |= {f"enqueue_{each.clients}": each.per_second.middle for each in measured.enqueueing}
    facts |= {f"drain_{each.processes}": each.per_second.middle for each in measured.draining}
    return Finding("capacity", says, facts)


def _latency(measured: Measured) -> Finding:
    latency = measured.latency
    tail = f", and 99 in 100 after {lasting(latency.p99)}" if latency.arrived >= _LEAST_TAIL else ""
    says = (
        f"At {about(latency.rate)} a second, half of the notifications are with the provider {lasting(latency.p50)} "
        f"after the commit{tail}."
    )
    facts: dict[str, float | str] = {"p50": latency.p50, "p99": latency.p99}
    if latency.arrived < latency.asked:
        says += f" {latency.asked - latency.arrived:,} of {latency.asked:,} had not arrived when it was over."
        facts["missing"] = latency.asked - latency.arrived
    return Finding("latency", says, facts)


def _foreign_wal(measured: Measured) -> list[Finding]:
    """Say that others write, where they do so much that WAL a notification is not all ours."""
    cost, drain = measured.cost, measured.draining[0].per_second.middle
    if not cost.background_wal or not cost.wal_deliver:
        return []
    share = cost.background_wal / (cost.wal_deliver * drain)
    if share <= LOUD:
        return []
    says = f"Others write on this server, {about(share * 100)} % of what a drain wrote: some WAL is theirs."
    return [Finding("others", says, {"share": share})]


def _rate(rate: Summary) -> str:
    """Return a rate: how far it lies apart, where that is too far for a number."""
    if rate.spread > NOISY:
        return f"{about(rate.low)} to {about(rate.high)}"
    return f"about {about(rate.middle)}"
