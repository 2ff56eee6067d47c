"""A cell of the table while it is measured: one system, one measure, an empty database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchmarks.processes import Process

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.processes import Ended
    from benchmarks.server import Cost


@dataclass(frozen=True)
class Scale:
    """How much is measured; `QUICK` shows that it works, and measures nothing."""

    jobs: int = 100_000
    sleeping_jobs: int = 50_000
    enqueue_seconds: float = 5.0
    latency_seconds: float = 30.0
    held_seconds: float = 90.0
    window_seconds: float = 10.0
    warm_up_seconds: float = 5.0
    starting_seconds: float = 5.0  # that a process may need before it begins
    settling_seconds: float = 2.0  # that a consumer goes on after the producer
    steady_rate: int = 3_000
    emails: int = 20_000


FULL = Scale()
QUICK = Scale(
    jobs=200,
    sleeping_jobs=100,
    enqueue_seconds=0.2,
    latency_seconds=0.5,
    held_seconds=1.0,
    window_seconds=0.25,
    warm_up_seconds=0.2,
    starting_seconds=2.5,
    settling_seconds=0.5,
    steady_rate=200,
    emails=50,
)


class Ground(Protocol):
    """Where a cell's jobs are kept: a database, or a broker."""

    @property
    def url(self) -> str:
        """Where clients find it."""

    def cost(self) -> Cost:
        """Return what the server has cost so far, when nobody uses it."""

    def analyze(self) -> None:
        """Bring the planner's statistics up to date, where there are any."""


@dataclass(frozen=True)
class Cell:
    """What a measure is given."""

    contender: Contender
    ground: Ground
    scale: Scale
    folder: Path

    def start(self, action: str, *options: object, limit: float) -> Process:
        """Return a driver's process, not yet started."""
        command = [*self.contender.command, action, "--url", self.ground.url, *map(str, options)]
        return Process(command, limit=limit)

    def call(self, action: str, *options: object, limit: float = 60.0) -> Ended:
        """Run a driver from beginning to end."""
        with self.start(action, *options, limit=limit) as process:
            return process.result()

    def count(self, measure: str, usual: int) -> int:
        """Return how many jobs this system is given."""
        return min(usual, self.contender.counts.get(measure, usual))
