"""A measurement from its beginning to its end. Read this first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from outbox.bench.client import APPLICATION
from outbox.bench.counters import Counters
from outbox.bench.flow import flow
from outbox.bench.gathering import gathered
from outbox.bench.machine import this_machine
from outbox.bench.rounds import Company, Round, play
from outbox.bench.staff import Staff
from outbox.children import Children

if TYPE_CHECKING:
    from collections.abc import Callable

    from outbox.bench.measured import Measured
    from outbox.bench.place import Place
    from outbox.bench.plan import Plan

_CONNECT_TIMEOUT = 10
_PATIENCE = 2.0  # times as long as was announced: no further round is begun after that
_SHARE = 0.25  # of what one client can enqueue: more is no longer a steady stream


def measure(url: str, plan: Plan, place: Place, tell: Callable[[str], None]) -> Measured:
    """Measure in this database, which has the outbox's schema and nothing else; `tell` is told what is being done.

    Raises:
        BenchError, ChildFailed: a process failed, or took too long.
    """
    machine = this_machine()
    with (
        psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT, application_name=APPLICATION) as conn,
        Children("bench") as children,
    ):
        counters = Counters(conn)
        tell("start the clients")
        staff = Staff(url, plan, children)
        rounds: list[Round] = []
        began = time.monotonic()
        for number in range(1, plan.rounds + 1):
            if rounds and time.monotonic() - began > _PATIENCE * plan.duration:
                break

            def say(what: str, number: int = number) -> None:
                tell(f"round {number} of {plan.rounds}: {what}")

            rounds.append(play(plan, Company(staff, counters, say), number))
        tell("latency")
        rate = min(plan.rate, max(min(each.single[0].per_second for each in rounds) * _SHARE, 1.0))
        latency = flow(plan, staff, rate)
        staff.leave()
        return gathered(plan, (place, machine), rounds, latency, counters.row_bytes())
