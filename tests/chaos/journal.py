"""The findings of a whole run, written down scenario by scenario: one that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.chaos.scenario import every_scenario
from tests.chaos.stage import Check, Findings

if TYPE_CHECKING:
    from tests.chaos.scenario import Scenario

FOLDER = Path(__file__).parent / "results"


class Journal:
    """One run: its seed, the load average at its beginning, the days it began and ended on, and what it found."""

    def __init__(self, file: Path, *, seed: int, load: float) -> None:
        self._file = file
        self.seed = seed
        self.load = load
        self.found: dict[int, Findings] = {}
        self.before: list[Findings] = []
        """What missed a target, and was played again: the page says so."""

    @classmethod
    def begin(cls, seed: int, folder: Path = FOLDER) -> Self:
        """Return the journal of a new run."""
        folder.mkdir(parents=True, exist_ok=True)
        journal = cls(folder / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.jsonl", seed=seed, load=os.getloadavg()[0])
        journal._write({"seed": seed, "load": journal.load})
        return journal

    @classmethod
    def resume(cls, folder: Path = FOLDER) -> Self:
        """Return the journal of the last run.

        Raises:
            FileNotFoundError: there is none.
        """
        file = max(folder.glob("*.jsonl"), default=None)
        if file is None:
            raise FileNotFoundError(f"there is no run in {folder.name}/ to resume")
        first, *others = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        journal = cls(file, **first)
        known = {scenario.number: scenario for scenario in every_scenario()}
        for line in others:
            scenario = known[line.pop("number")]
            checks = [Check(**check) for check in line.pop("checks")]
            journal._keep(Findings(scenario, checks=checks, **line))
        return journal

    def remaining(self, *, again: bool = False) -> list[Scenario]:
        """Return the scenarios that have not been played; with `again`, those that missed a target too."""
        over = {number for number, findings in self.found.items() if findings.met or not again}
        return [scenario for scenario in every_scenario() if scenario.number not in over]

    def add(self, findings: Findings) -> None:
        """Write down what came out of a scenario."""
        self._keep(findings)
        line = asdict(findings) | {"number": findings.scenario.number}
        del line["scenario"]
        self._write(line)

    def everything(self) -> list[Findings]:
        """Return all findings, by number."""
        return [self.found[number] for number in sorted(self.found)]

    def _keep(self, findings: Findings) -> None:
        number = findings.scenario.number
        if number in self.found:
            self.before.append(self.found[number])
        self.found[number] = findings

    def _write(self, line: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
