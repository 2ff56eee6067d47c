"""How many steps of Python a worker takes for each notification: `python -m benchmarks.steps` prints where.

A step is one bytecode instruction, in outbox's own functions or in those they call. It is counted and not timed, so it
is the same on a machine that is busy with other work, and a change of a hundredth shows. A worker drains a queue of its
own PostgreSQL through a provider that does nothing: what it takes is the engine's. Python's versions differ a little.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table

import outbox
from benchmarks.systems import noop
from outbox import config
from outbox.devdb import LocalPostgres
from outbox.migrate import upgrade
from outbox.worker.process import routes
from outbox.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

COUNT = 2_000
_CHANNEL = "steps"
_SHOWN = 30
_OURS = str(Path(outbox.__file__).parent)

Place = tuple[str, str]
"""A module's file, from the folder it was installed into, and the function."""


@contextmanager
def counted() -> Iterator[Counter[Place]]:
    """Yield what counts the steps of this thread, by function, for as long as the `with` block lasts."""
    steps: Counter[Place] = Counter()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            steps[frame.f_code.co_filename, frame.f_code.co_qualname] += 1
        return trace

    sys.settrace(trace)
    try:
        yield steps
    finally:
        sys.settrace(None)


def ours(steps: Counter[Place]) -> int:
    """Return how many of these were taken in outbox's own functions."""
    return sum(count for (file, _), count in steps.items() if file.startswith(_OURS))


async def drained(url: str, count: int) -> Counter[Place]:
    """Enqueue so many, and return the steps that a worker takes until all are settled."""
    drafts = [{"channel": _CHANNEL, "recipient": "ada", "payload": {"n": number}} for number in range(count)]
    with psycopg.connect(url) as conn:
        outbox.enqueue_many(conn, drafts)
    overrides = {"database.url": url, f"channels.{_CHANNEL}.providers": [noop.__name__]}
    settings = config.load(Path(os.devnull), environ={}, overrides=overrides)
    worker = Worker(
        url=url,
        routes=routes(settings, [_CHANNEL], lambda _: None),
        settings=settings.worker,
        listener=lambda _: None,
        levels=range(10),
        drain=True,
    )
    with counted() as steps:
        await worker.run(asyncio.get_running_loop().create_future())
    return steps


def _show(steps: Counter[Place], count: int) -> None:
    table = Table("steps", "function", "in", title=f"{ours(steps) / count:,.0f} a notification, in outbox")
    for (file, function), number in steps.most_common(_SHOWN):
        table.add_row(f"{number / count:,.1f}", function, "/".join(Path(file).parts[-3:]))
    Console().print(table)
    Console().print(f"{steps.total() / count:,.0f} with the libraries'; Python {sys.version.split()[0]}")


def main() -> None:
    """Count on a server that lives as long as this."""
    with LocalPostgres(durable=False) as server:
        upgrade(server.url)
        _show(asyncio.run(drained(server.url, COUNT)), COUNT)


if __name__ == "__main__":
    main()
