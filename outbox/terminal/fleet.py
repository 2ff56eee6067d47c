"""`outbox workers` as people see it: who works, since when, what each has in hand, and what it holds back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from outbox.queue.fleet import LIVE, RECENT, fleet
from outbox.telling.words import age, counted
from outbox.terminal.output import Column, fits, print_blocks, print_json, print_table, say, warn
from outbox.terminal.session import reading
from outbox.terminal.setup import FAILED
from outbox.terminal.worker_facts import worker_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from outbox.queue.fleet import Fleet, Held, Worker

_COLUMNS = (
    Column("id", "number"),
    Column("host", "whole"),
    Column("pid", "number"),
    Column("version", "whole"),
    Column("channels"),
    Column("state", "whole"),
    Column("in hand", "number"),
    Column("ended/s", "number"),
    Column("up", "number"),
    Column("seen", "number"),
)
_SWEPT = 600.0  # seconds for which who vanished stays on the list


def show(url: str, asked: Sequence[str] | None, *, as_json: bool) -> int:
    """Print the workers of these minutes; 1 if none of them lives."""
    with reading(url) as conn:
        every = fleet(conn, asked, within=_SWEPT)
    live = [worker for worker in every.workers if worker.seen <= LIVE]
    if as_json:
        print_json({"workers": [_document(worker) for worker in every.workers], "held": [*map(asdict, every.held())]})
        return 0 if live else FAILED
    rows = [_row(worker) for worker in every.workers]
    if rows:
        (print_table if fits(_COLUMNS, rows) else print_blocks)(_COLUMNS, rows)
    say(_together(every, live))
    for warning in (*_vanished(every.workers), *_clocks(live), *_held(every)):
        warn(warning)
    return 0 if live else FAILED


def state(worker: Worker) -> str:
    """Return `busy`, `idle` (it sleeps until something is due), `looking` (it looks all the time) or `vanished`."""
    if worker.seen > LIVE:
        return "vanished"
    if worker.in_hand:
        return "busy"
    return "idle" if set(worker.idle) >= set(worker.channels) else "looking"


def per_second(worker: Worker) -> float | None:
    """Return how many ended in a second, lately; None where nothing is known of that."""
    report = worker.report
    if report is None or worker.seen > RECENT or report.window <= 0:
        return None
    return sum(tally.recent for tally in report.tallies) / report.window


def _row(worker: Worker) -> list[str]:
    rate = per_second(worker)
    return [
        str(worker.id),
        worker.host,
        str(worker.pid),
        worker.version,
        ", ".join(worker.channels),
        state(worker),
        "-" if worker.report is None else f"{worker.in_hand:,}",
        "-" if rate is None else f"{rate:,.1f}",
        age(worker.up),
        f"{age(worker.seen)} ago",
    ]


def _together(every: Fleet, live: Sequence[Worker]) -> str:
    if not live:
        return "no live worker; start one: outbox worker --channel …"
    hosts = counted(len({worker.host for worker in live}), "host")
    rates = [rate for worker in live if (rate := per_second(worker)) is not None]
    return (
        f"{counted(len(live), 'live worker')} on {hosts}: {sum(every.in_hand().values()):,} in hand, "
        f"{sum(rates):,.1f} ended a second"
    )


def _vanished(workers: Sequence[Worker]) -> Iterator[str]:
    for worker in workers:
        if worker.seen > LIVE:
            yield (
                f"worker {worker.id} on {worker.host} (pid {worker.pid}) was last seen {age(worker.seen)} ago, and has "
                "not said that it stopped: what it held is due again when its leases end"
            )


def _clocks(live: Sequence[Worker]) -> Iterator[str]:
    for worker in live:
        if worker.skew is not None and abs(worker.skew) > 1:
            ahead = "ahead of" if worker.skew > 0 else "behind"
            yield f"the clock of {worker.host} is {age(abs(worker.skew))} {ahead} the database's"


def _held(every: Fleet) -> Iterator[str]:
    """Say which providers are held, one line for all the workers that hold one."""
    by_provider: dict[tuple[str, str], list[Held]] = {}
    for held in every.held():
        by_provider.setdefault((held.channel, held.provider), []).append(held)
    for (channel, provider), some in by_provider.items():
        why = " ".join(part for part in (some[0].error_class, some[0].code) if part)
        since = min(held.since for held in some)
        yield (
            f"{provider} ({channel}) is held by {counted(len(some), 'worker')} since "
            f"{since.astimezone():%H:%M:%S}: {why}; it is probed, and goes on by itself"
        )


def _document(worker: Worker) -> dict[str, Any]:
    return worker_facts(worker) | {
        "state": state(worker),
        "in_hand": None if worker.report is None else worker.in_hand,
        "ended_per_second": per_second(worker),
        "seen_at": worker.seen_at,
        "clock_skew_seconds": worker.skew,
        "concurrency": worker.report and worker.report.concurrency,
        "priorities": worker.report and list(worker.report.levels),
        "listening": worker.report and worker.report.listening,
    }
