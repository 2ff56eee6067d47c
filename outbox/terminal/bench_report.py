"""What `outbox bench` has found: a table, the latencies drawn, and the verdict; or all of it as one document."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from outbox.bench.drawing import bars
from outbox.bench.figures import about, lasting
from outbox.bench.soundness import is_sound, noisy
from outbox.bench.verdict import verdict
from outbox.telling.words import size
from outbox.terminal.output import Column, print_table, say
from outbox.terminal.setup import is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from outbox.bench.measured import Measured
    from outbox.bench.plan import Plan
    from outbox.bench.summary import Summary

_COLUMNS = (
    Column("measure", "whole"),
    Column("median", "number"),
    Column("rounds from", "number"),
    Column("to", "number"),
    Column("half within", "number"),
    Column("99 in 100", "number"),
)
FORMAT = 1
"""Counted up when a key of the document goes or means something else."""


def document(measured: Measured, plan: Plan) -> dict[str, Any]:
    """Return everything, for scripts: docs/bench.md has the keys."""
    return {
        "format": FORMAT,
        "plan": asdict(plan),
        "sound": is_sound(measured),
        "noisy": noisy(measured),
        "measured": asdict(measured),
        "verdict": [asdict(each) for each in verdict(measured)],
    }


def print_report(measured: Measured) -> None:
    """Print it for people."""
    say()
    print_table(_COLUMNS, _rows(measured))
    say()
    latency = measured.latency
    say(f"from the commit to the provider, {latency.arrived:,} notifications at {about(latency.rate)} a second", "bold")
    for line in bars(latency.histogram, "█" if is_terminal() else "#"):
        say(line)
    for each in verdict(measured):
        say()
        say(Text.assemble((f"{each.about}  ", "bold yellow" if each.about in {"noise", "load"} else "bold"), each.says))
        if each.change:
            say(Text.assemble(("    to change: ", "dim"), each.change))


def _rows(measured: Measured) -> Iterator[list[str]]:
    floor, cost = measured.floor, measured.cost
    yield _row("SELECT 1", floor.round_trip, lasting)
    yield _row("a small transaction", floor.transaction, lasting)
    yield _row("its COMMIT", floor.commit, lasting)
    for each in measured.enqueueing:
        clients = "1 client" if each.clients == 1 else f"{each.clients} clients"
        within = [lasting(each.p50.middle), lasting(each.p99.middle)]
        yield _row(f"enqueue, {clients}", each.per_second, _a_second, *within)
    yield _row("enqueue in bulk", measured.bulk.per_second, _a_second)
    for one in measured.draining:
        processes = "1 process" if one.processes == 1 else f"{one.processes} processes"
        yield _row(f"drain, {processes}", one.per_second, _a_second)
    latency = measured.latency
    yield ["latency", "", "", "", lasting(latency.p50), lasting(latency.p99)]
    for name, number in (("WAL, enqueue", cost.wal_enqueue), ("WAL, deliver", cost.wal_deliver)):
        yield [f"{name} each", "not told" if number is None else size(round(number)), "", "", "", ""]
    yield ["tables, each", size(round(cost.table_bytes)), "", "", "", ""]
    if cost.transactions is not None:
        yield ["transactions, each", about(cost.transactions), "", "", "", ""]


def _row(name: str, summary: Summary, told: Callable[[float], str], *within: str) -> list[str]:
    empty = [""] * (2 - len(within))
    return [name, told(summary.middle), told(summary.low), told(summary.high), *within, *empty]


def _a_second(rate: float) -> str:
    return f"{about(rate)}/s"
