"""What limits the deliveries, and what a real provider leaves of them. Pure functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from outbox.bench.enqueue_limits import BUSY, parts
from outbox.bench.figures import about, lasting
from outbox.bench.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.bench.measured import Measured

BOUND = 0.8
"""Of one processor, which is all that a Python process can use."""
IDLE = 0.5
"""Of one processor: below, a worker waits for the database most of the time."""
GROWS = 1.3
"""Times as much by two processes as by one: below, a second one is not worth its connections."""


def worker_limits(measured: Measured) -> Iterator[Finding]:
    """Say what limits one process, what a second one brings, and what is left of it with a real provider."""
    yield _one_process(measured)
    yield _two_processes(measured)
    yield _with_a_provider(measured)


def _one_process(measured: Measured) -> Finding:
    one = measured.draining[0]
    cpu = one.cpu.middle
    facts: dict[str, float | str] = {"cpu": cpu}
    used = f"{about(cpu * 100)} % of a processor"
    if cpu >= BOUND:
        says = f"A worker process is its own limit: it used {used}."
        return Finding("worker", says, facts, "more processes, where there are processors: --processes 2")
    if cpu < IDLE:
        busy = measured.machine.busy
        waited = "the database, or a free processor," if busy is not None and busy >= BUSY else "the database"
        says = f"A worker process waited for {waited} most of the time: it used {used}."
        waits = parts(measured).largest == "disk"
        larger = "a larger --concurrency: the wait for the disk is then shared by more" if waits else None
        return Finding("worker", says, facts, larger)
    return Finding("worker", f"A worker process used {used}, and waited for the database for the rest.", facts)


def _two_processes(measured: Measured) -> Finding:
    one, two = measured.draining[0], measured.draining[-1]
    ratio = two.per_second.middle / one.per_second.middle if one.per_second.middle else 0.0
    told = f"{two.processes} processes deliver {about(ratio)} times as much as one"
    if ratio >= GROWS:
        return Finding("processes", f"{told}.", {"ratio": ratio}, "outbox worker --processes 2, or a second machine")
    shared = " and the server shares this machine's processors" if measured.server.is_near else ""
    return Finding("processes", f"{told}: one is enough for this database{shared}.", {"ratio": ratio})


def _with_a_provider(measured: Measured) -> Finding:
    """Work out Little's law: so many at once, each for so long."""
    seconds, at_once = measured.provider, measured.concurrency
    one = measured.draining[0].per_second.middle
    most = max(each.per_second.middle for each in measured.draining)
    if not seconds:
        return Finding("provider", "A provider that takes no time leaves all of it.", {"provider": 0.0})
    through = at_once / seconds
    facts: dict[str, float | str] = {"provider": seconds, "per_process": min(through, one), "needed": most * seconds}
    sum_ = f"{at_once:,} at once / {lasting(seconds)} = {about(through)} a second"
    says = f"A provider that takes {lasting(seconds)} lets a process do {sum_}"
    if through >= one:
        says += f", which is no less than the {about(one)} that it can deliver: the provider is not the limit."
        return Finding("provider", says, facts)
    needed = math.ceil(most / through)
    says += (
        f"; this database delivers {about(most)}, which keeps {about(most * seconds)} of them at once busy: "
        f"{needed:,} such processes, or a larger concurrency."
    )
    larger = f"concurrency = {math.ceil(most * seconds / 100) * 100}, if the provider allows so many at once"
    return Finding("provider", says, facts | {"processes": needed}, larger)
