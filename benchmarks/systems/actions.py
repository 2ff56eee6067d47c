"""The command line of the drivers in Python: what each action does with a driver, and the line that it prints."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.systems.driver import Absent, chunks
from benchmarks.systems.shift import Shift

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from benchmarks.systems.driver import Driver

ABSENT = 77
_LATE = 0.05  # seconds
_LOOK = 0.02  # seconds between two looks at a queue that is full
_REFILL = 5_000


def run(driver: Driver) -> None:
    """Do what the command line asks, print the result, and exit."""
    sys.stdout = sys.stderr  # for what others print; the protocol's lines go to the real one
    arguments = _parser().parse_args()
    try:
        result = _ACTIONS[arguments.action](driver, arguments)
    except Absent as absent:
        _print({"absent": str(absent)})
        sys.exit(ABSENT)
    _print(result | {"cpu": _cpu()})


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    actions = parser.add_subparsers(dest="action", required=True)
    options: dict[str, dict[str, Any]] = {
        "--url": {"required": True},
        "--clients": {"type": int, "default": 1},
        "--seconds": {"type": float, "required": True},
        "--count": {"type": int, "required": True},
        "--sleep-ms": {"type": float, "default": 0.0},
        "--rate": {"type": float, "required": True},
        "--batch": {"type": int, "default": 1},
        "--out": {"type": Path, "required": True},
        "--high": {"type": int, "required": True},
    }
    takes = {
        "version": ["--url"],
        "setup": ["--url"],
        "enqueue": ["--url", "--clients", "--seconds"],
        "bulk": ["--url", "--count"],
        "work": ["--url", "--count", "--sleep-ms"],
        "consume": ["--url", "--seconds", "--out"],
        "produce": ["--url", "--rate", "--seconds", "--out", "--batch"],
        "refill": ["--url", "--seconds", "--high"],
    }
    for action, names in takes.items():
        command = actions.add_parser(action)
        for name in names:
            command.add_argument(name, **options[name] | ({"required": False} if action == "version" else {}))
        if action == "bulk":
            command.add_argument("--keyed", action="store_true")
    return parser


def _version(driver: Driver, _: argparse.Namespace) -> dict[str, Any]:
    number, runtime = driver.version()
    return {"system": driver.distribution, "version": number, "history": driver.history, "runtime": runtime}


def _setup(driver: Driver, arguments: argparse.Namespace) -> dict[str, Any]:
    driver.setup(arguments.url)
    return {"ok": True}


def _enqueue(driver: Driver, arguments: argparse.Namespace) -> dict[str, Any]:
    return driver.enqueue(arguments.url, arguments.clients, arguments.seconds)


def _bulk(driver: Driver, arguments: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    driver.bulk(arguments.url, arguments.count, keyed=arguments.keyed)
    return {"jobs": arguments.count, "seconds": time.monotonic() - began}


def _work(driver: Driver, arguments: argparse.Namespace) -> dict[str, Any]:
    shift = Shift(count=arguments.count, pause=arguments.sleep_ms / 1_000)
    settings = driver.work(arguments.url, shift)
    return shift.result() | {"settings": settings}


def _consume(driver: Driver, arguments: argparse.Namespace) -> dict[str, Any]:
    shift = Shift(seconds=arguments.seconds)
    settings = driver.work(arguments.url, shift)
    shift.write(arguments.out)
    return {"jobs": shift.handled, "settings": settings}


def _produce(driver: Driver, arguments: argparse.Namespace) -> dict[str, Any]:
    given = arguments.rate, arguments.seconds, arguments.batch
    committed, late = asyncio.run(_produce_steadily(driver, arguments.url, *given))
    arguments.out.write_text(json.dumps(committed), encoding="utf-8")
    return {"jobs": len(committed), "late": late}


def _refill(driver: Driver, arguments: argparse.Namespace) -> dict[str, Any]:
    """Keep the queue full, and never much fuller: say when it is full for the first time, then wait for the word."""
    produced = 0
    with psycopg.connect(arguments.url, autocommit=True) as conn:

        def refill() -> int:
            row = conn.execute(driver.jobs_deleted().encode()).fetchone()
            room = arguments.high - produced + (row[0] if row else 0)
            if room >= _REFILL:
                driver.bulk(arguments.url, _REFILL, keyed=False)
                return _REFILL
            return 0

        while added := refill():
            produced += added
        Shift().ready()
        began = time.monotonic()
        while time.monotonic() - began < arguments.seconds:
            if added := refill():
                produced += added
            else:
                time.sleep(_LOOK)
    return {"jobs": produced}


async def _produce_steadily(
    driver: Driver, url: str, rate: float, seconds: float, batch: int
) -> tuple[list[tuple[int, float]], int]:
    """Send each batch when it is due, however long the one before it took."""
    committed: list[tuple[int, float]] = []
    late = 0
    async with driver.sender(url) as send:
        began = time.monotonic()
        async for numbers, behind in _due(began, rate, chunks(int(rate * seconds), batch)):
            late += len(numbers) if behind > _LATE else 0
            await send(numbers)
            now = time.monotonic()
            committed += [(number, now) for number in numbers]
    return committed, late


async def _due(began: float, rate: float, batches: Sequence[range]) -> AsyncIterator[tuple[range, float]]:
    for numbers in batches:
        due = began + numbers.start / rate
        if (ahead := due - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
        yield numbers, time.monotonic() - due


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), file=sys.__stdout__, flush=True)


_ACTIONS: dict[str, Callable[[Driver, argparse.Namespace], dict[str, Any]]] = {
    "version": _version,
    "setup": _setup,
    "enqueue": _enqueue,
    "bulk": _bulk,
    "work": _work,
    "consume": _consume,
    "produce": _produce,
    "refill": _refill,
}
