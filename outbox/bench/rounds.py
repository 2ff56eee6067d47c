"""One round: everything once, in turns, so that what the machine does meanwhile falls on all of it alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from outbox.bench.machine import Watch
from outbox.bench.plan import PROCESSES
from outbox.bench.shifts import Drained, drained
from outbox.bench.summary import percentile
from outbox.bench.trouble import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox.bench.counters import Counters
    from outbox.bench.plan import Plan
    from outbox.bench.staff import Staff

_MICROSECOND = 1e-6


@dataclass(slots=True)
class Single:
    """Enqueues of some clients: a second, how long half and 99 in 100 took, and processors that the clients used."""

    per_second: float
    p50: float
    p99: float
    cpu: float


@dataclass(slots=True)
class Round:
    """What one round has measured; the unit of each is that of `measured`."""

    round_trip: float = 0.0
    transaction: float = 0.0
    commit: float = 0.0
    single: list[Single] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    bulk: list[tuple[float, float]] = field(default_factory=list)
    """A second, and processors used."""
    drains: list[Drained] = field(default_factory=list)
    wal_enqueue: list[float] = field(default_factory=list)
    wal_deliver: list[float] = field(default_factory=list)
    transactions: list[float] = field(default_factory=list)
    background: float | None = None


@dataclass(frozen=True, slots=True)
class Company:
    """Who takes part in a round."""

    staff: Staff
    counters: Counters
    tell: Callable[[str], None]


def play(plan: Plan, company: Company, number: int) -> Round:
    """Measure everything but the latency, once."""
    found = Round()
    _floor(plan, company, found)
    for clients in sorted({1, plan.clients}):
        found.single.append(_single(plan, company, found, clients))
    for processes in PROCESSES:
        channel = f"round_{number}_by_{processes}"
        company.tell("enqueue in bulk")
        count = _bulk(plan, company, found, channel)
        company.tell(f"drain with {processes} worker process{'es' if processes > 1 else ''}")
        _drain(plan, company, found, (channel, count), processes)
    return found


def _floor(plan: Plan, company: Company, found: Round) -> None:
    company.tell("round trips")
    before = company.counters.read()
    (looked,) = company.staff.ask("look", seconds=plan.looking, limit=plan.looking)
    spent = company.counters.read() - before
    found.background = None if spent.wal is None else spent.wal / looked["seconds"]
    found.round_trip = _median(looked["turns"])
    company.tell("small transactions")
    (wrote,) = company.staff.ask("write", seconds=plan.writing, limit=plan.writing)
    found.transaction, found.commit = _median(wrote["turns"]), _median(wrote["commits"])


def _single(plan: Plan, company: Company, found: Round, clients: int) -> Single:
    company.tell(f"enqueue one at a time from {clients} client{'s' if clients > 1 else ''}")
    watch = Watch()
    seconds = plan.enqueueing
    answers = company.staff.ask("enqueue-one", clients=clients, channel="single", seconds=seconds, limit=seconds)
    if clients == plan.clients and (busy := watch.busy()) is not None:
        found.busy.append(busy)
    turns = [turn for each in answers for turn in each["turns"]]
    return Single(
        per_second=sum(len(each["turns"]) / each["seconds"] for each in answers),
        p50=_median(turns),
        p99=percentile(turns, 99) * _MICROSECOND,
        cpu=sum(each["cpu"] / each["seconds"] for each in answers),
    )


def _bulk(plan: Plan, company: Company, found: Round, channel: str) -> int:
    before = company.counters.read()
    (answer,) = company.staff.ask(
        "enqueue-bulk", channel=channel, count=plan.notifications, within=plan.limit, limit=plan.limit
    )
    spent = company.counters.read() - before
    count: int = answer["count"]
    found.bulk.append((count / answer["seconds"], answer["cpu"] / answer["seconds"]))
    if spent.wal is not None:
        found.wal_enqueue.append(spent.wal / count)
    company.counters.analyze()
    return count


def _drain(plan: Plan, company: Company, found: Round, full: tuple[str, int], processes: int) -> None:
    (channel, count), staff = full, company.staff
    workers = staff.hire(channel, processes, drain=True, limit=plan.limit)
    before = company.counters.read()
    staff.begin(workers)
    results = staff.results(workers, plan.limit)
    spent = company.counters.read() - before
    settled: Sequence[Any] = [each["settled"] for each in results]
    drain = drained(settled, count)
    if drain is None:
        raise BenchError(f"no worker delivered anything within {plan.limit:g} s: give it more --seconds")
    found.drains.append(drain)
    if spent.wal is not None:
        found.wal_deliver.append(spent.wal / drain.count)
    if spent.transactions is not None:
        found.transactions.append(spent.transactions / drain.count)


def _median(turns: Sequence[float]) -> float:
    return percentile(turns, 50) * _MICROSECOND
