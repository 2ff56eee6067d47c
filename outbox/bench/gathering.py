"""Rounds put together: the median of each number, with its range."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from outbox.bench import measured
from outbox.bench.plan import PROCESSES
from outbox.bench.summary import Summary, summarise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from outbox.bench.place import Place
    from outbox.bench.plan import Plan
    from outbox.bench.rounds import Round


def gathered(
    plan: Plan,
    where: tuple[Place, measured.Machine],
    rounds: Sequence[Round],
    latency: measured.Latency,
    row_bytes: float,
) -> measured.Measured:
    """Return everything as one value; `where` are the server and the machine that it was measured from."""
    place, machine = where
    return measured.Measured(
        server=measured.Server(place.version, place.is_near, place.is_encrypted, place.settings),
        machine=replace(machine, busy=_middle(busy for each in rounds for busy in each.busy)),
        concurrency=plan.concurrency,
        provider=plan.provider,
        rounds=len(rounds),
        floor=measured.Floor(
            round_trip=_summary(each.round_trip for each in rounds),
            transaction=_summary(each.transaction for each in rounds),
            commit=_summary(each.commit for each in rounds),
        ),
        enqueueing=[_enqueueing(clients, place, rounds) for place, clients in enumerate(sorted({1, plan.clients}))],
        bulk=measured.Bulk(
            per_second=_summary(rate for each in rounds for rate, _ in each.bulk),
            cpu=_summary(cpu for each in rounds for _, cpu in each.bulk),
        ),
        draining=[_draining(processes, place, rounds) for place, processes in enumerate(PROCESSES)],
        latency=latency,
        cost=measured.Cost(
            wal_enqueue=_middle(wal for each in rounds for wal in each.wal_enqueue),
            wal_deliver=_middle(wal for each in rounds for wal in each.wal_deliver),
            background_wal=_middle(each.background for each in rounds if each.background is not None),
            table_bytes=row_bytes,
            transactions=_middle(share for each in rounds for share in each.transactions),
        ),
    )


def _enqueueing(clients: int, place: int, rounds: Sequence[Round]) -> measured.Enqueueing:
    singles = [each.single[place] for each in rounds]
    return measured.Enqueueing(
        clients=clients,
        per_second=_summary(each.per_second for each in singles),
        p50=_summary(each.p50 for each in singles),
        p99=_summary(each.p99 for each in singles),
        cpu=_summary(each.cpu for each in singles),
    )


def _draining(processes: int, place: int, rounds: Sequence[Round]) -> measured.Draining:
    drains = [each.drains[place] for each in rounds]
    return measured.Draining(
        processes=processes,
        per_second=_summary(each.per_second for each in drains),
        cpu=_summary(each.cpu for each in drains),
        is_whole=all(each.is_whole for each in drains),
    )


def _summary(numbers: Iterable[float]) -> Summary:
    summary = summarise(list(numbers))
    if summary is None:
        raise ValueError("a measurement without rounds")
    return summary


def _middle(numbers: Iterable[float]) -> float | None:
    found = list(numbers)
    return median(found) if found else None
