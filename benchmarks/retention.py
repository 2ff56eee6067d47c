"""What enqueues feel while retention and an erasure go through millions of rows: `python -m benchmarks.retention`.

A cluster of its own, or the server of `--url`; rows by generate_series on days that are over, half of them past their
time; enqueues at a steady rate, each in a transaction of its own, and a worker that delivers them, all the while.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import secrets
import threading
import time
from bisect import bisect
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from rich.console import Console
from rich.table import Table

import outbox
from benchmarks.history import load, server
from outbox import migrate
from outbox.config import ChannelConfig, RetentionConfig, WorkerConfig
from outbox.queue.erase import Person, erase_keys, erase_slice, list_slices
from outbox.queue.retention import Sweep
from outbox.route import Route
from outbox.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.synchronize import Event

_CLIENTS = 4
_PERSON = "user4711@example.org"


class Enqueued(NamedTuple):
    """One enqueue: when it should have begun, and how many seconds after that it was committed."""

    at: float
    seconds: float


class Did(NamedTuple):
    """One statement of retention or of an erasure, and its transaction; `at` is when it began."""

    what: str
    rows: int
    at: float
    seconds: float


class _Nothing:
    """A provider that sends nothing."""

    async def send(self, _message: object, _key: str) -> outbox.Receipt:
        return outbox.Receipt()

    async def aclose(self) -> None: ...


def work(url: str) -> None:
    """Deliver whatever is due, to nobody, until killed."""
    route = Route(
        channel="email",
        policy=ChannelConfig(providers=("nothing",)),
        compose=lambda notification: notification,
        providers={"nothing": _Nothing()},
        listener=lambda _: None,
    )

    async def run() -> None:
        forever: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await Worker(url=url, routes=[route], settings=WorkerConfig(), listener=lambda _: None).run(forever)

    asyncio.run(run())


def enqueue(url: str, rate: float, over: Event, results: Any) -> None:
    """Enqueue so many a second from several connections until it is over; put what each took into `results`."""
    done: list[Enqueued] = []

    def client(number: int) -> None:
        with psycopg.connect(url) as conn:
            at = time.monotonic() + number / rate
            while not over.is_set():
                time.sleep(max(at - time.monotonic(), 0))
                outbox.enqueue(
                    conn, channel="email", recipient="now@example.org", payload={"name": "Ada"},
                    idempotency_key=secrets.token_hex(8),
                )  # fmt: skip
                conn.commit()
                done.append(Enqueued(at, time.monotonic() - at))
                at += _CLIENTS / rate

    threads = [threading.Thread(target=client, args=[number]) for number in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(done)


def sweep(url: str) -> list[Did]:
    """Let go of everything older than thirty days, as a worker does; return what each step took."""

    async def run() -> list[Did]:
        going = Sweep(RetentionConfig())
        did: list[Did] = []
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            while True:
                began = time.monotonic()
                async with conn.transaction():
                    step = await going.step(conn)
                if step is None:
                    return did
                name = step.did if step.did == "deleted" else f"{step.did} {step.what}"
                did.append(Did(name, step.rows, began, time.monotonic() - began))
                await asyncio.sleep(going.pause)

    return asyncio.run(run())


def erase(url: str) -> list[Did]:
    """Erase one person, as the command does; return what each statement took."""
    did: list[Did] = []
    person = Person(_PERSON)
    with psycopg.connect(url) as conn:

        def timed(erased: Callable[[], int]) -> None:
            began = time.monotonic()
            rows = erased()
            conn.commit()
            did.append(Did("erased", rows, began, time.monotonic() - began))

        for each in list_slices(conn):
            timed(lambda each=each: erase_slice(conn, person, each).notifications)  # type: ignore[misc]
        page: int | None = 0

        def keys() -> int:
            nonlocal page
            found, page = erase_keys(conn, person, page or 0)
            return found

        while page is not None:
            timed(keys)
    return did


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retention", description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="notifications to begin with")
    parser.add_argument("--days", type=int, default=60, help="days they were enqueued on; thirty of them stay")
    parser.add_argument("--rate", type=float, default=200, help="enqueues a second")
    parser.add_argument("--seconds", type=float, default=30, help="of enqueues before, between and after")
    parser.add_argument("--url", help="a server, whose user may create databases")
    given = parser.parse_args()
    console = Console()
    with server(given.url) as url:
        migrate.upgrade(url)
        with console.status(f"making {given.rows:,} rows"):
            load(url, given.rows, given.days)
        spawned = multiprocessing.get_context("spawn")
        over, results = spawned.Event(), spawned.Queue()
        worker = spawned.Process(target=work, args=[url], daemon=True)
        enqueuer = spawned.Process(target=enqueue, args=[url, given.rate, over, results], daemon=True)
        worker.start()
        enqueuer.start()
        time.sleep(5)  # until both are at it
        phases: list[tuple[str, float, list[Did]]] = []
        for name, act in (("nothing else", None), ("retention", sweep), ("nothing else", None), ("erasure", erase)):
            with console.status(f"enqueueing beside {name}"):
                began = time.monotonic()
                phases.append((name, began, act(url) if act else []))
                time.sleep(0 if act else given.seconds)
        ended = time.monotonic()
        over.set()
        enqueued: list[Enqueued] = results.get(timeout=60)
        worker.kill()
        report(console, given, phases, enqueued, ended)


def report(
    console: Console,
    given: argparse.Namespace,
    phases: Sequence[tuple[str, float, list[Did]]],
    enqueued: Sequence[Enqueued],
    ended: float,
) -> None:
    """Print the tables."""
    load_now = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    console.print(f"{given.rows:,} rows on {given.days} days; {given.rate:g} enqueues a second; load {load_now}")
    table = Table("enqueues beside", "seconds", "enqueues", "p50 ms", "p99 ms", "max ms")
    until = [began for _, began, _ in phases[1:]] + [ended]
    for (name, began, _), end in zip(phases, until, strict=True):
        took = sorted(each.seconds * 1_000 for each in enqueued if began <= each.at < end)
        # There are none where they have fallen so far behind that none of this time's was begun.
        longest = f"{took[-1]:.1f}" if took else "–"
        table.add_row(name, f"{end - began:.0f}", *_felt(took), longest)
    console.print(table)
    for name, _, did in phases:
        if did:
            _print_steps(console, name, did, enqueued)


def _print_steps(console: Console, name: str, did: Sequence[Did], enqueued: Sequence[Enqueued]) -> None:
    steps = Table(name, "steps", "rows", "median ms", "longest ms", "seconds in all", "enqueues", "p50 ms", "p99 ms")
    beside = meanwhile(did, enqueued)
    for what in dict.fromkeys(map(_kind, did)):
        those = [each for each in did if _kind(each) == what]
        took = sorted(each.seconds * 1_000 for each in those)
        rows = f"{sum(each.rows for each in those):,}"
        figures = (f"{each:.1f}" for each in (took[len(took) // 2], took[-1], sum(took) / 1_000))
        steps.add_row(what, f"{len(those):,}", rows, *figures, *_felt(sorted(beside[what])))
    steps.add_row("between them", *[""] * 5, *_felt(sorted(beside[""])))
    console.print(steps)


def meanwhile(did: Sequence[Did], enqueued: Sequence[Enqueued]) -> dict[str, list[float]]:
    """Return how many milliseconds enqueues took, by the kind of step that most of each was beside; "" is none."""
    begins = [each.at for each in did]
    beside: dict[str, list[float]] = defaultdict(list)
    for each in enqueued:
        ends = each.at + each.seconds
        if not begins[0] <= each.at <= did[-1].at + did[-1].seconds:
            continue
        first, beyond = max(bisect(begins, each.at) - 1, 0), bisect(begins, ends)
        shared = {"": 0.0}
        for step in did[first:beyond]:
            both = min(ends, step.at + step.seconds) - max(each.at, step.at)
            shared[_kind(step)] = shared.get(_kind(step), 0.0) + max(both, 0.0)
        shared[""] = each.seconds - sum(shared.values())
        beside[max(shared, key=lambda kind: shared[kind])].append(each.seconds * 1_000)
    return beside


def _kind(step: Did) -> str:
    return step.what.partition("_")[0]


def _felt(took: Sequence[float]) -> tuple[str, str, str]:
    """Return how many there are, their p50 and their p99; they are in order."""
    if not took:
        return "0", "–", "–"
    return f"{len(took):,}", f"{took[len(took) // 2]:.1f}", f"{took[int(len(took) * 0.99)]:.1f}"


if __name__ == "__main__":
    main()
