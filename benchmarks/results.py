"""The results of a run: a file of JSON lines, the first of which says where it was, the others one cell each."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent / "results"
_SAME = ("cpu", "cores", "postgres", "python")


@dataclass(frozen=True)
class Result:
    """One cell, measured once: its `values`, or why there are none. `statements` are the server's, if asked for."""

    measure: str
    system: str
    round: int
    values: Mapping[str, Any] = field(default_factory=dict)
    absent: str | None = None
    failed: str | None = None
    load: float = 0.0
    seconds: float = 0.0
    statements: list[str] = field(default_factory=list)


@dataclass
class Run:
    """All cells of a run, and the machine and the versions that they were measured on."""

    place: Mapping[str, Any]
    results: list[Result] = field(default_factory=list)

    def values(self, measure: str, system: str, name: str) -> list[float]:
        """Return what was measured under this name, a number a round."""
        return [
            result.values[name]
            for result in self.results
            if result.measure == measure and result.system == system and result.values.get(name) is not None
        ]

    def trouble(self, measure: str, system: str) -> tuple[str | None, str | None]:
        """Return why a cell is absent, and why it failed, where one of both is so."""
        cells = [result for result in self.results if result.measure == measure and result.system == system]
        absent = next((cell.absent for cell in cells if cell.absent), None)
        return absent, next((cell.failed for cell in cells if cell.failed), None)


class Journal:
    """The file of a run that is under way: each line is written when it is known."""

    def __init__(self, file: Path, run: Run) -> None:
        self.run = run
        self._file = file
        self._rounds = Counter((result.measure, result.system) for result in run.results)

    @classmethod
    def begin(cls, file: Path, place: Mapping[str, Any]) -> Self:
        """Return the journal of a new run."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"place": place}) + "\n", encoding="utf-8")
        return cls(file, Run(place))

    @classmethod
    def reopen(cls, file: Path, place: Mapping[str, Any]) -> Self:
        """Return the journal of an earlier run, for more rounds.

        Raises:
            ValueError: it was made on another machine, or with other versions.
        """
        run = read(file)
        differ = [name for name in _SAME if run.place[name] != place[name]]
        differ += [name for name, said in place["versions"].items() if run.place["versions"].get(name) != said]
        if differ:
            raise ValueError(f"{file.name} was measured with another {', '.join(differ)}: nothing can be added to it")
        return cls(file, run)

    def add(self, result: Result) -> None:
        """Add a cell, as a round of its own."""
        self._rounds[result.measure, result.system] += 1
        result = replace(result, round=self._rounds[result.measure, result.system])
        self.run.results.append(result)
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(result)) + "\n")


def read(file: Path) -> Run:
    """Return the run that a file holds."""
    first, *others = file.read_text(encoding="utf-8").splitlines()
    return Run(json.loads(first)["place"], [Result(**json.loads(line)) for line in others])


def newest(folder: Path = FOLDER) -> Path | None:
    """Return the file of the last run in a folder; their names begin with the date."""
    return max(folder.glob("*.jsonl"), default=None)
