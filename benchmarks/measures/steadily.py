"""One producer at a steady rate beside one consumer: when each job was committed, and when its handler began."""

from __future__ import annotations

import json
from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.cell import Cell
    from benchmarks.processes import Ended, Process

_GRACE = 30.0  # seconds


@dataclass(frozen=True)
class Flow:
    """What both wrote down: moments by job, and how late the producer was."""

    committed: dict[int, float]
    begun: dict[int, float]
    late: int

    def latencies(self) -> list[float]:
        """Return the seconds from the commit to the handler, of every job that both saw; never less than zero.

        A handler may begin before the producer has learned that its commit is done.
        """
        return [
            max(self.begun[number] - moment, 0.0) for number, moment in self.committed.items() if number in self.begun
        ]

    def backlog(self, moments: list[float]) -> list[int]:
        """Return how many jobs were committed and not begun, at each of the moments."""
        committed, begun = sorted(self.committed.values()), sorted(self.begun.values())
        return [max(_until(committed, moment) - _until(begun, moment), 0) for moment in moments]


def _until(ordered: list[float], moment: float) -> int:
    return bisect_right(ordered, moment)


@contextmanager
def consuming(cell: Cell, seconds: float) -> Iterator[tuple[Process, Path]]:
    """Yield a consumer that has begun to work, and the file that it will write."""
    file = cell.folder / "begun.json"
    with cell.start("consume", "--seconds", seconds, "--out", file, limit=seconds + _GRACE) as consumer:
        consumer.wait_until_ready()
        consumer.go()
        yield consumer, file


def flow(cell: Cell, *, rate: int, seconds: float, batch: int = 1) -> tuple[Flow, Ended, Ended]:
    """Let a steady stream go through the system, and return what became of it; then the producer and the consumer."""
    committed = cell.folder / "committed.json"
    scale = cell.scale
    with consuming(cell, scale.starting_seconds + seconds + scale.settling_seconds) as (consumer, begun):
        produced = cell.call(
            "produce",
            "--rate",
            rate,
            "--seconds",
            seconds,
            "--batch",
            batch,
            "--out",
            committed,
            limit=seconds + _GRACE,
        )
        consumed = consumer.result()
    return Flow(dict(moments(committed)), dict(moments(begun)), produced.line["late"]), produced, consumed


def moments(file: Path) -> list[tuple[int, float]]:
    """Return what a producer or a consumer wrote: the numbers of jobs, each with its moment."""
    return [(number, moment) for number, moment in json.loads(file.read_text(encoding="utf-8"))]
