"""A run: every cell in its turn, round after round, the systems interleaved."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import node, place, quiet
from benchmarks.cell import Cell
from benchmarks.contenders import CONTENDERS
from benchmarks.errors import Absent, Failed
from benchmarks.measures import MEASURES
from benchmarks.processes import call
from benchmarks.results import Result
from benchmarks.server import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.cell import Scale
    from benchmarks.grounds import Grounds

_VERSION = 60.0  # seconds; the first start of an interpreter may compile


@dataclass(frozen=True)
class Turn:
    """One cell in one round."""

    round: int
    measure: str
    system: str


def turns(systems: Sequence[str], measures: Sequence[str], rounds: int, long_rounds: int) -> Iterator[Turn]:
    """Yield the cells in their order: in each round all systems take one measure after the other.

    There are as many rounds of the long measures as `long_rounds` says.
    """
    for number in range(1, max(rounds, long_rounds) + 1):
        for name in measures:
            measure = MEASURES[name]
            if number <= (long_rounds if measure.is_long else rounds):
                yield from (Turn(number, name, system) for system in systems if system in (measure.systems or systems))


def roll_call(systems: Sequence[str]) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Return what each system says of its version, and why the others are absent."""
    present: dict[str, Mapping[str, Any]] = {}
    missing: dict[str, str] = {}
    for name in systems:
        contender = CONTENDERS[name]
        try:
            if contender.is_node:
                node.install()
            present[name] = call([*contender.command, "version"], limit=_VERSION).line
        except Absent as absent:
            missing[name] = str(absent)
    return present, missing


def run(
    plan: Sequence[Turn], grounds: Grounds, scale: Scale, missing: Mapping[str, str], patience: float = 0.0
) -> Iterator[tuple[Turn, Result | None]]:
    """Measure each cell of the plan; what is absent, or goes wrong, is a result too.

    Yields each turn twice: before it, with None, and after it, with its result. Where others use the machine, a cell
    waits for them, `patience` seconds at most.
    """
    for turn in plan:
        yield turn, None
        if turn.system in missing:
            yield turn, Result(turn.measure, turn.system, turn.round, absent=missing[turn.system])
        else:
            quiet.wait(patience)
            yield turn, _measured(turn, grounds, scale)


def _measured(turn: Turn, grounds: Grounds, scale: Scale) -> Result:
    load, began = place.load(), time.monotonic()
    outcome: dict[str, object] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        try:
            contender = CONTENDERS[turn.system]
            ground = stack.enter_context(grounds.prepared(contender))
            if grounds.tells_statements and isinstance(ground, Database):
                ground.statements()
            outcome["values"] = MEASURES[turn.measure].take(Cell(contender, ground, scale, folder))
            if grounds.tells_statements and isinstance(ground, Database):
                outcome["statements"] = ground.statements()
        except Absent as absent:
            outcome["absent"] = str(absent)
        except Failed as failed:
            outcome["failed"] = str(failed)
    seconds = round(time.monotonic() - began, 1)
    return Result(turn.measure, turn.system, turn.round, load=load, seconds=seconds, **outcome)  # type: ignore[arg-type]
