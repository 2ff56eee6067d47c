from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.journal import Journal
from tests.chaos.scenario import every_scenario
from tests.chaos.stage import Check, Findings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_that_was_interrupted_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first, second, *others = every_scenario()
    journal = Journal.begin(7, tmp_path)
    met = Findings(first, 7, [Check("lost", "0", "0", met=True)], ran="1 min", took=60.0, notes=["quiet"])
    missed = Findings(second, 7, [Check("lost", "0", "1", met=False)])
    journal.add(met)
    journal.add(missed)
    again = Journal.resume(tmp_path)
    assert (again.seed, again.load) == (7, journal.load)
    assert again.everything() == [met, missed]
    assert again.remaining() == others


def test_what_missed_a_target_can_be_played_again_and_what_it_missed_is_kept(tmp_path: Path) -> None:
    first, second, *others = every_scenario()
    journal = Journal.begin(7, tmp_path)
    met = Findings(first, 7, [Check("lost", "0", "0", met=True)])
    missed, then_met = (Findings(second, 7, [Check("lost", "0", lost, met=lost == "0")]) for lost in ("1", "0"))
    journal.add(met)
    journal.add(missed)
    again = Journal.resume(tmp_path)
    assert again.remaining(again=True) == [second, *others]
    again.add(then_met)
    after = Journal.resume(tmp_path)
    assert (after.everything(), after.before) == ([met, then_met], [missed])
    assert after.remaining(again=True) == others


def test_there_may_be_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run"):
        Journal.resume(tmp_path)
