"""Whether the numbers are worth a verdict: how far the rounds lie apart, and who else used the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.bench.figures import about
from outbox.bench.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from outbox.bench.measured import Measured
    from outbox.bench.summary import Summary

NOISY = 0.5
"""A spread beyond this share of the median: what differs so much from round to round is not the database's."""
LOADED = 0.7
"""Programs for each processor that wanted to run before we began."""
LATE = 0.02
"""Share of the steady stream that was behind schedule."""
LOUD = 0.1
"""What others wrote meanwhile, as a share of what we wrote, beyond which WAL is not ours alone."""


def rates(measured: Measured) -> Mapping[str, Summary]:
    """Return the rates that a verdict rests on, by what they are called in it."""
    named = {f"enqueue, {_clients(each.clients)}": each.per_second for each in measured.enqueueing}
    named["enqueue in bulk"] = measured.bulk.per_second
    return named | {f"drain, {_processes(each.processes)}": each.per_second for each in measured.draining}


def noisy(measured: Measured) -> list[str]:
    """Return which of them differ too much from round to round."""
    return [name for name, rate in rates(measured).items() if rate.spread > NOISY]


def is_sound(measured: Measured) -> bool:
    """Tell whether there are rounds enough to compare, they agree, and nobody else used the machine."""
    return measured.rounds > 1 and not noisy(measured) and (measured.machine.load or 0.0) <= LOADED


def soundness(measured: Measured) -> Iterator[Finding]:
    """Say what makes the numbers doubtful, if anything does."""
    if differing := noisy(measured):
        told = [f"{name} from {about(rate.low)} to {about(rate.high)} a second" for name, rate in _named(measured)]
        says = f"Too noisy for a verdict: from round to round, {'; '.join(told)}. What follows is a guess."
        facts = {name: rates(measured)[name].spread for name in differing}
        yield Finding(
            "noise", says, facts, "run it again when the machine and the server are quiet, or with more --seconds"
        )
    if measured.rounds == 1:
        yield Finding("noise", "Of one round, nobody knows how far the next one would differ.", {}, "more --rounds")
    load = measured.machine.load
    if load is not None and load > LOADED:
        says = f"This machine was busy before it began: {about(load)} programs for each of its processors."
        yield Finding("load", says, {"load": load}, "run it again when nothing else does")
    if not all(each.is_whole for each in measured.draining):
        says = "A full queue was not worked off in its time: those rates are of what was."
        yield Finding("unfinished", says, {}, "fewer --notifications, or more --seconds")
    if measured.latency.late > LATE:
        says = f"The steady stream was behind schedule {about(measured.latency.late * 100)} % of the time."
        yield Finding("late", says, {"late": measured.latency.late})


def _named(measured: Measured) -> list[tuple[str, Summary]]:
    return [(name, rates(measured)[name]) for name in noisy(measured)]


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"
